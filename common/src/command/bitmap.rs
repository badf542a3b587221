//! Strings as arrays of bits.

use super::flags::Flags;
use super::group::Group;
use super::key_spec::uses::{OW_UPDATE, RO_ACCESS, RW_ACCESS_UPDATE, RW_VARIABLE};
use super::key_spec::{key, keys};
use super::row::{Command, KeyFinder};
use super::table::rows;

rows! { Bitmap:
    "bitcount", -2, [READONLY], "2.6.0", "O(N), N bytes",
        "key#0 [index{start:int end:int [index_unit(BYTE|BIT)^7.0.0]}]",
        "Counts the bits that are set."; keys(&[key(1, RO_ACCESS)]);
    "bitfield", -2, [WRITE DENYOOM], "3.2.0", "O(1) an operation",
        "key#0 [operation(GET=encoding_offset{encoding offset:int}|write{[OVERFLOW=wrap_sat_fail(WRAP|SAT|FAIL)] write_operation(SET=encoding_offset_value{encoding offset:int value:int}|INCRBY=encoding_offset_increment{encoding offset:int increment:int})})*]",
        "Reads, sets and adds to integers of any width within a string."; keys(&[key(1, RW_VARIABLE).note("read only when every operation is a GET")]) finder(KeyFinder::BitField);
    "bitfield_ro", -2, [READONLY FAST], "6.0.0", "O(1) an operation",
        "key#0 [GET=encoding_offset{encoding offset:int}**]",
        "Reads integers of any width within a string."; keys(&[key(1, RO_ACCESS)]);
    "bitop", -4, [WRITE DENYOOM], "2.6.0", "O(N), N bytes", "operation destkey#0 key#1*",
        "Combines strings bit by bit and stores the result."; keys(&[key(2, OW_UPDATE), keys(3, -1, 1, RO_ACCESS)]);
    "bitpos", -3, [READONLY], "2.8.7", "O(N), N bytes",
        "key#0 bit:int [index{start:int [end_index{end:int [index_unit(BYTE|BIT)^7.0.0]}]}]",
        "Finds the first bit that is set or clear."; keys(&[key(1, RO_ACCESS)]);
    "getbit", 3, [READONLY FAST], "2.2.0", "O(1)", "key#0 offset:int",
        "Returns one bit."; keys(&[key(1, RO_ACCESS)]);
    "setbit", 4, [WRITE DENYOOM], "2.2.0", "O(1)", "key#0 offset:int value:int",
        "Sets or clears one bit."; keys(&[key(1, RW_ACCESS_UPDATE)]);
}
