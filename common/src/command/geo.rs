//! Geographical indexes.

use super::flags::Flags;
use super::group::Group;
use super::key_spec::uses::{OW_UPDATE, RO_ACCESS, RW_UPDATE};
use super::key_spec::{after, key};
use super::row::Command;
use super::table::rows;

rows! { Geo:
    "geoadd", -5, [WRITE DENYOOM], "3.2.0", "O(log(N)) a member",
        "key#0 [condition(NX|XX)^6.2.0] [CH=change:token^6.2.0] longitude_latitude_member{longitude:double latitude:double member}*",
        "Adds places to an index, or moves them."; keys(&[key(1, RW_UPDATE)]);
    "geodist", -4, [READONLY], "3.2.0", "O(log(N))", "key#0 member1 member2 [unit(M|KM|FT|MI)]",
        "Returns the distance between two places."; keys(&[key(1, RO_ACCESS)]);
    "geohash", -2, [READONLY], "3.2.0", "O(log(N)) a member", "key#0 member*",
        "Returns places as geohash strings."; keys(&[key(1, RO_ACCESS)]);
    "geopos", -2, [READONLY], "3.2.0", "O(N), N members given", "key#0 member*",
        "Returns the longitude and latitude of places."; keys(&[key(1, RO_ACCESS)]);
    "georadius", -6, [WRITE DENYOOM MOVABLEKEYS], "3.2.0", "O(N+log(M)), N in the box around the circle, M in the index",
        "key#0 longitude:double latitude:double radius:double unit(M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [count{COUNT=count:int [ANY^6.2.0]}] [order(ASC|DESC)] [STORE=key#1] [STOREDIST=key#2]",
        "Finds, and stores if wanted, the places in a circle around a point."; keys(&[key(1, RO_ACCESS), after("STORE", 6, OW_UPDATE), after("STOREDIST", 6, OW_UPDATE)]) deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS`");
    "georadius_ro", -6, [READONLY], "3.2.10", "O(N+log(M)), N in the box around the circle, M in the index",
        "key#0 longitude:double latitude:double radius:double unit(M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [count{COUNT=count:int [ANY^6.2.0]}] [order(ASC|DESC)]",
        "Finds the places in a circle around a point."; keys(&[key(1, RO_ACCESS)]) deprecated("6.2.0", "`GEOSEARCH` with `BYRADIUS`");
    "georadiusbymember", -5, [WRITE DENYOOM MOVABLEKEYS], "3.2.0", "O(N+log(M)), N in the box around the circle, M in the index",
        "key#0 member radius:double unit(M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [count{COUNT=count:int [ANY]}] [order(ASC|DESC)] [STORE=key#1] [STOREDIST=key#2]",
        "Finds, and stores if wanted, the places in a circle around a place."; keys(&[key(1, RO_ACCESS), after("STORE", 5, OW_UPDATE), after("STOREDIST", 5, OW_UPDATE)]) deprecated("6.2.0", "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS` and `FROMMEMBER`");
    "georadiusbymember_ro", -5, [READONLY], "3.2.10", "O(N+log(M)), N in the box around the circle, M in the index",
        "key#0 member radius:double unit(M|KM|FT|MI) [WITHCOORD] [WITHDIST] [WITHHASH] [count{COUNT=count:int [ANY]}] [order(ASC|DESC)]",
        "Finds the places in a circle around a place."; keys(&[key(1, RO_ACCESS)]) deprecated("6.2.0", "`GEOSEARCH` with `BYRADIUS` and `FROMMEMBER`");
    "geosearch", -7, [READONLY], "6.2.0", "O(N+log(M)), N in the box around the area, M in it",
        "key#0 from(FROMMEMBER=member|FROMLONLAT=longitude_latitude{longitude:double latitude:double}) by(circle{BYRADIUS=radius:double unit(M|KM|FT|MI)}|box{BYBOX=width:double height:double unit(M|KM|FT|MI)}) [order(ASC|DESC)] [count{COUNT=count:int [ANY]}] [WITHCOORD] [WITHDIST] [WITHHASH]",
        "Finds the places in a circle or a box."; keys(&[key(1, RO_ACCESS)]);
    "geosearchstore", -8, [WRITE DENYOOM], "6.2.0", "O(N+log(M)), N in the box around the area, M in it",
        "destination#0 source#1 from(FROMMEMBER=member|FROMLONLAT=longitude_latitude{longitude:double latitude:double}) by(circle{BYRADIUS=radius:double unit(M|KM|FT|MI)}|box{BYBOX=width:double height:double unit(M|KM|FT|MI)}) [order(ASC|DESC)] [count{COUNT=count:int [ANY]}] [STOREDIST]",
        "Stores the places in a circle or a box."; keys(&[key(1, OW_UPDATE), key(2, RO_ACCESS)]);
}
