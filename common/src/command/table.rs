//! The rows of all families as one array, numbered.

use super::categories::Categories;
use super::row::Command;
use super::{
    bitmap, cluster, connection, generic, geo, hash, hyperloglog, internal, list, pubsub, scripting, server,
    set, sorted_set, stream, string, transactions,
};

/// Declares a family's rows, one a line:
/// `name, arity, [FLAGS], since, complexity, arguments, summary; further calls of the row's builder;`
macro_rules! rows {
    ($group:ident: $(
        $name:literal, $arity:literal, [$($flag:ident)*], $since:literal, $complexity:literal, $arguments:literal,
        $summary:literal; $( $method:ident ( $($argument:expr),* ) )* ;
    )*) => {
        pub(super) const ROWS: &[Command] = &[ $(
            Command::new(
                Group::$group, $name, $arity,
                Flags::NONE$( .with(Flags::$flag) )*,
                $since, $complexity, $arguments, $summary,
            ) $( .$method( $($argument),* ) )*,
        )* ];
    };
}

pub(super) use rows;

const FAMILIES: [&[Command]; 17] = [
    string::ROWS,
    generic::ROWS,
    hash::ROWS,
    list::ROWS,
    set::ROWS,
    sorted_set::ROWS,
    connection::ROWS,
    server::ROWS,
    cluster::ROWS,
    pubsub::ROWS,
    transactions::ROWS,
    scripting::ROWS,
    stream::ROWS,
    geo::ROWS,
    bitmap::ROWS,
    hyperloglog::ROWS,
    internal::ROWS,
];

/// The number of rows, subcommands included.
pub const COUNT: usize = {
    let mut count = 0;
    let mut family = 0;
    while family < FAMILIES.len() {
        count += FAMILIES[family].len();
        family += 1;
    }
    count
};

/// Every row, at the index that is its id. Subcommands stand directly behind their container.
pub static TABLE: [Command; COUNT] = number();

const fn number() -> [Command; COUNT] {
    let mut table = [string::ROWS[0]; COUNT];
    let mut id = 0;
    let mut container = 0;
    let mut family = 0;
    while family < FAMILIES.len() {
        let rows = FAMILIES[family];
        let mut row = 0;
        while row < rows.len() {
            let mut command = rows[row];
            command.id = id as u16;
            command.subcommand_rows = (id as u16 + 1, id as u16 + 1);
            command.prefix = prefix_of(command.name);
            // A container by itself is in no category that its row does not name.
            let has_subcommands =
                row + 1 < rows.len() && prefix_of(rows[row + 1].name) > 0 && command.prefix == 0;
            if has_subcommands && command.categories.is_exactly(command.group.category()) {
                command.categories = Categories::NONE;
            }
            if command.prefix == 0 {
                container = id;
            } else {
                command.container = Some(container as u16);
                table[container].subcommand_rows.1 = id as u16 + 1;
            }
            command.categories = Categories::derive(command.categories, command.flags);
            table[id] = command;
            id += 1;
            row += 1;
        }
        family += 1;
    }
    table
}

const fn prefix_of(name: &str) -> u8 {
    let bytes = name.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] == b'|' {
            return i as u8 + 1;
        }
        i += 1;
    }
    0
}
