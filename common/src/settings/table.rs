//! The rows: CONFIG parameters of Redis 7.0.

use super::parameter::{Kind, Parameter, Support};
use Kind::{
    Bool, Choice, Frequency, HostName, Integer, KeyspaceEvents, Memory, MemoryOrPercent, Octal, OomScores,
    OutputLimits, Percentiles, SavePoints, Text, Words,
};
use Support::{Constant, Fixed, Ignored, Live, Protected, Start};

const INT: i64 = i32::MAX as i64;
const LONG: i64 = i64::MAX;
const BYTES: u64 = i64::MAX as u64;
const MIB: u64 = 1024 * 1024;

const NO_REPLICATION: &str = "there is no replication";
const NO_TLS: &str = "there is no TLS";
const ADDRESSES: &str = "addresses are set in the cluster file";
const SHUTDOWN: &[&str] = &["default", "save", "nosave", "now", "force"];

/// Declares the rows, one a line: `Name "name" [/ "alias"] [secret]: kind = "default", support;`
macro_rules! parameters {
    ($( $variant:ident $name:literal $(/ $alias:literal)? $($secret:ident)? : $kind:expr => $default:literal, $support:expr; )*) => {
        /// The parameters that code asks for by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Name { $( #[doc = $name] $variant, )* }

        pub(super) static TABLE: &[Parameter] = &[ $( Parameter {
            name: $name,
            alias: parameters!(@option $($alias)?),
            kind: $kind,
            default: $default,
            support: $support,
            secret: parameters!(@flag $($secret)?),
        }, )* ];

        pub(super) static NAMES: &[Name] = &[ $( Name::$variant, )* ];
    };
    (@option $value:literal) => { Some($value) };
    (@option) => { None };
    (@flag secret) => { true };
    (@flag) => { false };
}

parameters! {
    // Memory and eviction.
    Maxmemory "maxmemory": Memory(0, u64::MAX) => "0", Live;
    MaxmemoryPolicy "maxmemory-policy": Choice(&["volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"]) => "noeviction", Live;
    MaxmemorySamples "maxmemory-samples": Integer(1, INT) => "5", Live;
    MaxmemoryEvictionTenacity "maxmemory-eviction-tenacity": Integer(0, 100) => "10", Ignored;
    MaxmemoryClients "maxmemory-clients": MemoryOrPercent => "0", Fixed("clients are limited one by one, with client-output-buffer-limit");
    LfuLogFactor "lfu-log-factor": Integer(0, INT) => "10", Live;
    LfuDecayTime "lfu-decay-time": Integer(0, INT) => "1", Live;
    LazyfreeLazyEviction "lazyfree-lazy-eviction": Bool => "no", Ignored;
    LazyfreeLazyExpire "lazyfree-lazy-expire": Bool => "no", Ignored;
    LazyfreeLazyServerDel "lazyfree-lazy-server-del": Bool => "no", Ignored;
    LazyfreeLazyUserDel "lazyfree-lazy-user-del": Bool => "no", Ignored;
    LazyfreeLazyUserFlush "lazyfree-lazy-user-flush": Bool => "no", Ignored;

    // Encodings.
    HashMaxListpackEntries "hash-max-listpack-entries" / "hash-max-ziplist-entries": Integer(0, LONG) => "512", Live;
    HashMaxListpackValue "hash-max-listpack-value" / "hash-max-ziplist-value": Memory(0, BYTES) => "64", Live;
    ListMaxListpackSize "list-max-listpack-size" / "list-max-ziplist-size": Integer(-INT - 1, INT) => "-2", Live;
    ListCompressDepth "list-compress-depth": Integer(0, INT) => "0", Ignored;
    SetMaxIntsetEntries "set-max-intset-entries": Integer(0, LONG) => "512", Live;
    ZsetMaxListpackEntries "zset-max-listpack-entries" / "zset-max-ziplist-entries": Integer(0, LONG) => "128", Live;
    ZsetMaxListpackValue "zset-max-listpack-value" / "zset-max-ziplist-value": Memory(0, BYTES) => "64", Live;
    HllSparseMaxBytes "hll-sparse-max-bytes": Memory(0, BYTES) => "3000", Live;
    StreamNodeMaxBytes "stream-node-max-bytes": Memory(0, BYTES) => "4096", Live;
    StreamNodeMaxEntries "stream-node-max-entries": Integer(0, LONG) => "100", Live;

    // Clients.
    Requirepass "requirepass" secret: Text => "", Live;
    Maxclients "maxclients": Integer(1, u32::MAX as i64) => "10000", Live;
    Timeout "timeout": Integer(0, INT) => "0", Live;
    TcpKeepalive "tcp-keepalive": Integer(0, INT) => "300", Live;
    TcpBacklog "tcp-backlog": Integer(0, INT) => "511", Constant;
    ClientOutputBufferLimit "client-output-buffer-limit": OutputLimits => "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60", Live;
    ClientQueryBufferLimit "client-query-buffer-limit": Memory(MIB, BYTES) => "1073741824", Live;
    ProtoMaxBulkLen "proto-max-bulk-len": Memory(MIB, BYTES) => "536870912", Live;
    NotifyKeyspaceEvents "notify-keyspace-events": KeyspaceEvents => "", Live;
    TrackingTableMaxKeys "tracking-table-max-keys": Integer(0, LONG) => "1000000", Live;
    AcllogMaxLen "acllog-max-len": Integer(0, LONG) => "128", Live;
    AclPubsubDefault "acl-pubsub-default": Choice(&["allchannels", "resetchannels"]) => "resetchannels", Live;
    Aclfile "aclfile": Text => "", Constant;

    // The server.
    Databases "databases": Integer(1, INT) => "16", Constant;
    Hz "hz": Frequency => "10", Ignored;
    DynamicHz "dynamic-hz": Bool => "yes", Ignored;
    ActiveExpireEffort "active-expire-effort": Integer(1, 10) => "1", Ignored;
    Activerehashing "activerehashing": Bool => "yes", Ignored;
    Loglevel "loglevel": Choice(&["debug", "verbose", "notice", "warning"]) => "notice", Ignored;
    Logfile "logfile": Text => "", Constant;
    SlowlogLogSlowerThan "slowlog-log-slower-than": Integer(-1, LONG) => "10000", Live;
    SlowlogMaxLen "slowlog-max-len": Integer(0, LONG) => "128", Live;
    LatencyMonitorThreshold "latency-monitor-threshold": Integer(0, LONG) => "0", Live;
    LatencyTracking "latency-tracking": Bool => "yes", Live;
    LatencyTrackingInfoPercentiles "latency-tracking-info-percentiles": Percentiles => "50 99 99.9", Live;
    BusyReplyThreshold "busy-reply-threshold" / "lua-time-limit": Integer(0, LONG) => "5000", Live;
    EnableDebugCommand "enable-debug-command": Choice(&["no", "yes", "local"]) => "no", Start;
    EnableModuleCommand "enable-module-command": Choice(&["no", "yes", "local"]) => "no", Constant;
    EnableProtectedConfigs "enable-protected-configs": Choice(&["no", "yes", "local"]) => "no", Constant;
    ShutdownTimeout "shutdown-timeout": Integer(0, INT) => "10", Ignored;
    ShutdownOnSigint "shutdown-on-sigint": Words(SHUTDOWN) => "default", Ignored;
    ShutdownOnSigterm "shutdown-on-sigterm": Words(SHUTDOWN) => "default", Ignored;
    IoThreads "io-threads": Integer(1, 128) => "1", Constant;
    IoThreadsDoReads "io-threads-do-reads": Bool => "no", Constant;
    JemallocBgThread "jemalloc-bg-thread": Bool => "yes", Ignored;
    Activedefrag "activedefrag": Bool => "no", Fixed("memory in use is not moved");
    ActiveDefragCycleMax "active-defrag-cycle-max": Integer(1, 99) => "25", Ignored;
    ActiveDefragCycleMin "active-defrag-cycle-min": Integer(1, 99) => "1", Ignored;
    ActiveDefragIgnoreBytes "active-defrag-ignore-bytes": Memory(1, BYTES) => "104857600", Ignored;
    ActiveDefragMaxScanFields "active-defrag-max-scan-fields": Integer(1, LONG) => "1000", Ignored;
    ActiveDefragThresholdLower "active-defrag-threshold-lower": Integer(0, 1000) => "10", Ignored;
    ActiveDefragThresholdUpper "active-defrag-threshold-upper": Integer(0, 1000) => "100", Ignored;
    CrashLogEnabled "crash-log-enabled": Bool => "yes", Ignored;
    CrashMemcheckEnabled "crash-memcheck-enabled": Bool => "yes", Ignored;
    DisableThp "disable-thp": Bool => "yes", Constant;
    OomScoreAdj "oom-score-adj": Choice(&["no", "yes", "relative", "absolute"]) => "no", Ignored;
    OomScoreAdjValues "oom-score-adj-values": OomScores => "0 200 800", Ignored;
    PropagationErrorBehavior "propagation-error-behavior": Choice(&["ignore", "panic", "panic-on-replicas"]) => "ignore", Ignored;
    SanitizeDumpPayload "sanitize-dump-payload": Choice(&["no", "yes", "clients"]) => "no", Ignored;
    IgnoreWarnings "ignore-warnings": Text => "", Ignored;
    AlwaysShowLogo "always-show-logo": Bool => "no", Constant;
    Daemonize "daemonize": Bool => "no", Constant;
    Pidfile "pidfile": Text => "", Constant;
    Supervised "supervised": Choice(&["no", "upstart", "systemd", "auto"]) => "no", Constant;
    SetProcTitle "set-proc-title": Bool => "no", Constant;
    ProcTitleTemplate "proc-title-template": Text => "{title} {listen-addr} {server-mode}", Fixed("process titles are not changed");
    SyslogEnabled "syslog-enabled": Bool => "no", Constant;
    SyslogFacility "syslog-facility": Choice(&["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"]) => "local0", Constant;
    SyslogIdent "syslog-ident": Text => "redis", Constant;
    ServerCpulist "server_cpulist": Text => "", Constant;
    BioCpulist "bio_cpulist": Text => "", Constant;
    AofRewriteCpulist "aof_rewrite_cpulist": Text => "", Constant;
    BgsaveCpulist "bgsave_cpulist": Text => "", Constant;

    // Addresses.
    Port "port": Integer(0, 65535) => "6379", Fixed(ADDRESSES);
    Bind "bind": Text => "", Fixed(ADDRESSES);
    BindSourceAddr "bind-source-addr": Text => "", Fixed(ADDRESSES);
    ProtectedMode "protected-mode": Bool => "no", Fixed(ADDRESSES);
    Unixsocket "unixsocket": Text => "", Constant;
    Unixsocketperm "unixsocketperm": Octal => "0", Constant;
    SocketMarkId "socket-mark-id": Integer(0, u32::MAX as i64) => "0", Constant;
    TlsPort "tls-port": Integer(0, 65535) => "0", Fixed(NO_TLS);
    TlsAuthClients "tls-auth-clients": Choice(&["no", "yes", "optional"]) => "yes", Ignored;
    TlsCaCertDir "tls-ca-cert-dir": Text => "", Fixed(NO_TLS);
    TlsCaCertFile "tls-ca-cert-file": Text => "", Fixed(NO_TLS);
    TlsCertFile "tls-cert-file": Text => "", Fixed(NO_TLS);
    TlsKeyFile "tls-key-file": Text => "", Fixed(NO_TLS);
    TlsKeyFilePass "tls-key-file-pass" secret: Text => "", Fixed(NO_TLS);
    TlsClientCertFile "tls-client-cert-file": Text => "", Fixed(NO_TLS);
    TlsClientKeyFile "tls-client-key-file": Text => "", Fixed(NO_TLS);
    TlsClientKeyFilePass "tls-client-key-file-pass" secret: Text => "", Fixed(NO_TLS);
    TlsDhParamsFile "tls-dh-params-file": Text => "", Fixed(NO_TLS);
    TlsProtocols "tls-protocols": Text => "", Fixed(NO_TLS);
    TlsCiphers "tls-ciphers": Text => "", Fixed(NO_TLS);
    TlsCiphersuites "tls-ciphersuites": Text => "", Fixed(NO_TLS);
    TlsPreferServerCiphers "tls-prefer-server-ciphers": Bool => "no", Ignored;
    TlsSessionCaching "tls-session-caching": Bool => "yes", Ignored;
    TlsSessionCacheSize "tls-session-cache-size": Integer(0, INT) => "20480", Ignored;
    TlsSessionCacheTimeout "tls-session-cache-timeout": Integer(0, INT) => "300", Ignored;
    TlsCluster "tls-cluster": Bool => "no", Fixed(NO_TLS);
    TlsReplication "tls-replication": Bool => "no", Fixed(NO_TLS);

    // Persistence.
    Save "save": SavePoints => "", Live;
    Appendonly "appendonly": Bool => "yes", Live;
    Appendfsync "appendfsync": Choice(&["everysec", "always", "no"]) => "everysec", Live;
    Appendfilename "appendfilename": Text => "appendonly.aof", Constant;
    Appenddirname "appenddirname": Text => "appendonlydir", Constant;
    AofDisableAutoGc "aof-disable-auto-gc": Bool => "no", Ignored;
    AofLoadTruncated "aof-load-truncated": Bool => "yes", Ignored;
    AofRewriteIncrementalFsync "aof-rewrite-incremental-fsync": Bool => "yes", Ignored;
    AofTimestampEnabled "aof-timestamp-enabled": Bool => "no", Ignored;
    AofUseRdbPreamble "aof-use-rdb-preamble": Bool => "yes", Ignored;
    AutoAofRewriteMinSize "auto-aof-rewrite-min-size": Memory(0, BYTES) => "67108864", Live;
    AutoAofRewritePercentage "auto-aof-rewrite-percentage": Integer(0, INT) => "100", Live;
    NoAppendfsyncOnRewrite "no-appendfsync-on-rewrite": Bool => "no", Ignored;
    Dbfilename "dbfilename": Text => "dump.rdb", Protected;
    Dir "dir": Text => "", Protected;
    RdbDelSyncFiles "rdb-del-sync-files": Bool => "no", Ignored;
    RdbSaveIncrementalFsync "rdb-save-incremental-fsync": Bool => "yes", Ignored;
    Rdbchecksum "rdbchecksum": Bool => "yes", Constant;
    Rdbcompression "rdbcompression": Bool => "yes", Ignored;
    StopWritesOnBgsaveError "stop-writes-on-bgsave-error": Bool => "yes", Ignored;

    // Replication.
    Replicaof "replicaof" / "slaveof": Text => "", Constant;
    Masterauth "masterauth" secret: Text => "", Ignored;
    Masteruser "masteruser" secret: Text => "", Ignored;
    MinReplicasToWrite "min-replicas-to-write" / "min-slaves-to-write": Integer(0, INT) => "0", Fixed(NO_REPLICATION);
    MinReplicasMaxLag "min-replicas-max-lag" / "min-slaves-max-lag": Integer(0, INT) => "10", Ignored;
    ReplBacklogSize "repl-backlog-size": Memory(1, BYTES) => "1048576", Ignored;
    ReplBacklogTtl "repl-backlog-ttl": Integer(0, LONG) => "3600", Ignored;
    ReplDisableTcpNodelay "repl-disable-tcp-nodelay": Bool => "no", Ignored;
    ReplDisklessLoad "repl-diskless-load": Choice(&["disabled", "on-empty-db", "swapdb"]) => "disabled", Ignored;
    ReplDisklessSync "repl-diskless-sync": Bool => "yes", Ignored;
    ReplDisklessSyncDelay "repl-diskless-sync-delay": Integer(0, INT) => "5", Ignored;
    ReplDisklessSyncMaxReplicas "repl-diskless-sync-max-replicas": Integer(0, INT) => "0", Ignored;
    ReplPingReplicaPeriod "repl-ping-replica-period" / "repl-ping-slave-period": Integer(1, INT) => "10", Ignored;
    ReplTimeout "repl-timeout": Integer(1, INT) => "60", Ignored;
    ReplicaAnnounceIp "replica-announce-ip" / "slave-announce-ip": Text => "", Ignored;
    ReplicaAnnouncePort "replica-announce-port" / "slave-announce-port": Integer(0, 65535) => "0", Ignored;
    ReplicaAnnounced "replica-announced": Bool => "yes", Ignored;
    ReplicaIgnoreDiskWriteErrors "replica-ignore-disk-write-errors": Bool => "no", Ignored;
    ReplicaIgnoreMaxmemory "replica-ignore-maxmemory" / "slave-ignore-maxmemory": Bool => "yes", Ignored;
    ReplicaLazyFlush "replica-lazy-flush" / "slave-lazy-flush": Bool => "no", Ignored;
    ReplicaPriority "replica-priority" / "slave-priority": Integer(0, INT) => "100", Ignored;
    ReplicaReadOnly "replica-read-only" / "slave-read-only": Bool => "yes", Ignored;
    ReplicaServeStaleData "replica-serve-stale-data" / "slave-serve-stale-data": Bool => "yes", Ignored;

    // Redis's own cluster.
    ClusterEnabled "cluster-enabled": Bool => "no", Constant;
    ClusterConfigFile "cluster-config-file": Text => "nodes.conf", Constant;
    ClusterPort "cluster-port": Integer(0, 65535) => "0", Constant;
    ClusterAllowPubsubshardWhenDown "cluster-allow-pubsubshard-when-down": Bool => "yes", Ignored;
    ClusterAllowReadsWhenDown "cluster-allow-reads-when-down": Bool => "no", Ignored;
    ClusterAllowReplicaMigration "cluster-allow-replica-migration": Bool => "yes", Ignored;
    ClusterAnnounceBusPort "cluster-announce-bus-port": Integer(0, 65535) => "0", Ignored;
    ClusterAnnounceHostname "cluster-announce-hostname": HostName => "", Ignored;
    ClusterAnnounceIp "cluster-announce-ip": Text => "", Ignored;
    ClusterAnnouncePort "cluster-announce-port": Integer(0, 65535) => "0", Ignored;
    ClusterAnnounceTlsPort "cluster-announce-tls-port": Integer(0, 65535) => "0", Ignored;
    ClusterLinkSendbufLimit "cluster-link-sendbuf-limit": Memory(0, u64::MAX) => "0", Ignored;
    ClusterMigrationBarrier "cluster-migration-barrier": Integer(0, INT) => "1", Ignored;
    ClusterNodeTimeout "cluster-node-timeout": Integer(0, LONG) => "15000", Ignored;
    ClusterPreferredEndpointType "cluster-preferred-endpoint-type": Choice(&["ip", "hostname", "unknown-endpoint"]) => "ip", Ignored;
    ClusterReplicaNoFailover "cluster-replica-no-failover" / "cluster-slave-no-failover": Bool => "no", Ignored;
    ClusterReplicaValidityFactor "cluster-replica-validity-factor" / "cluster-slave-validity-factor": Integer(0, INT) => "10", Ignored;
    ClusterRequireFullCoverage "cluster-require-full-coverage": Bool => "yes", Ignored;
}
