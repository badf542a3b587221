//! Settings, set everywhere or nowhere: the shard's half.

use slotway_common::error::Error;

use super::Call;

/// `SLOTWAY SETTINGS …`
pub(super) fn internal(call: &mut Call<'_>) -> Result<(), Error> {
    call.reply.bulk(b"{\"version\":0,\"values\":{}}");
    Ok(())
}
