//! `SLOTWAY SETTINGS`: settings that are set everywhere or nowhere, the shard's half.

use slotway_common::command::bad_subcommand_call;
use slotway_common::error::Error;
use slotway_common::number::parse_i64;

use super::Call;
use crate::settings::take_effect;

/// `SLOTWAY SETTINGS [PREPARE <id> <name> <value> … | COMMIT <id> <version> | ABORT <id>]`
pub(super) fn internal(call: &mut Call<'_>) -> Result<(), Error> {
    let (args, settings) = (call.args, &mut call.node.settings);
    match args.len() {
        2 => {
            call.reply.bulk(settings.to_json().as_bytes());
            return Ok(());
        }
        6.. if args.is(2, "PREPARE") => {
            let changes = settings.values.config_set(&args.rest(4))?;
            settings.prepare(args.at(3), changes);
        }
        5 if args.is(2, "COMMIT") => {
            let version = parse_i64(args.at(4)).and_then(|version| u64::try_from(version).ok());
            let version = version.ok_or(Error::NotInteger)?;
            settings
                .commit(args.at(3), version)
                .ok_or(Error::err("no settings are prepared under that id"))?;
            // What was agreed on holds, also where it could not be stored: the proxy has it stored elsewhere too.
            if let Err(error) = settings.store() {
                tracing::error!("the settings could not be stored: {error}");
            }
            take_effect(call.engine, call.node);
        }
        4 if args.is(2, "ABORT") => settings.abort(args.at(3)),
        _ => return Err(bad_subcommand_call(&args)),
    }
    call.reply.ok();
    Ok(())
}
