// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/hex"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"freshet/config"
	"freshet/schema"
)

// options is the configuration of one connector, decoded once. It is immutable after parseOptions and shared by the
// reader, the snapshot and the checks. Properties in milliseconds are durations here.
type options struct {
	loginOptions
	slotOptions
	snapshotting
	filters

	Types           TypeOptions
	FieldAdjust     string // none, avro, avro_unicode
	ConvertFailure  string // event.converting.failure.handling.mode: fail, warn, skip
	SkippedOps      string // the operations c, u, d, t that are not emitted
	SkippedOpsGiven bool   // whether skipped.operations was set: a created publication then has a publish clause
	MaxBatchSize    int    // changes in a batch
	TxMetadata      bool   // provide.transaction.metadata
	signalling
	TopicPrefix    string
	ColumnRules    []columnRule
	Reselect       *reselectOptions // nil where nothing is read again
	HeartbeatQuery string           // heartbeat.action.query, "" for none
	MayPass        *regexp.Regexp   // internal.custom.retriable.exception, nil for none
	KeyRules       []keyRule        // message.key.columns
	CollectionsMax int              // guardrail.collections.max, 0 for no limit
	// CollectionsFail says whether more captured tables are refused instead of warned of.
	CollectionsFail bool
}

// loginOptions say how to connect.
type loginOptions struct {
	Hostname          string
	Port              int
	Database          string
	User              string
	Password          config.Secret
	SSL               sslOptions
	TCPKeepAlive      bool
	InitialStatements []string      // run on each ordinary connection, not on the replication connection
	QueryTimeout      time.Duration // statement timeout of ordinary connections, 0 is none
	ValidationTimeout time.Duration // of the login of a check
}

// slotOptions are about slot, publication and stream.
type slotOptions struct {
	SlotName        string
	SlotDropOnStop  bool
	SlotFailover    bool
	StreamParams    []string // options for START_REPLICATION, each with its quoted value
	FlushManual     bool     // the slot is moved by others
	Mismatch        string   // offset.mismatch.strategy: no_validation, trust_offset, trust_slot, trust_greater_lsn, or what is none
	SlotMaxRetries  int
	SlotRetryDelay  time.Duration
	PluginName      string // always pgoutput
	Publication     string
	PublicationMode string // all_tables, filtered, disabled, no_tables
	PublishViaRoot  bool
	ReplicaIdentity []identityRule
	StatusInterval  time.Duration
	XminInterval    time.Duration // 0 does not read xmin
	CheckPosition   bool          // internal.log.position.check.enable
	Guard           guardOptions
}

// guardOptions say how often the guard looks, and what it warns of; 0 is never.
type guardOptions struct {
	Interval    time.Duration
	Message     time.Duration // between two logical messages
	Retained    int64         // bytes
	SafePercent int64
	Hours       int64
}

// snapshotting says whether and how the rows that are there are read.
type snapshotting struct {
	SnapshotMode        string // always, initial, initial_only, no_data, when_needed, configuration_based
	SnapshotData        bool   // flag of configuration_based
	SnapshotOnDataError bool   // flag of configuration_based: snapshot again where the position is gone
	StartStream         bool   // flag of configuration_based
	SnapshotThreads     int
	SnapshotMultiplier  int            // chunks of a table per thread at least
	SnapshotMultipliers map[string]int // the same for single tables, by schema.table
	LegacyThreads       bool           // one table per thread instead of chunks
	SnapshotIsolation   string         // serializable, repeatable_read, read_committed, read_uncommitted
	SnapshotLock        bool           // snapshot.locking.mode=shared
	SnapshotLockTimeout time.Duration
	SnapshotDelay       time.Duration
	StreamingDelay      time.Duration
	SnapshotOrder       string // disabled, ascending, descending: by estimated rows
	// SnapshotSelects are statements to read instead of a table, by schema.table.
	SnapshotSelects map[string]string
}

// signalling says how snapshots on demand are asked for and read.
type signalling struct {
	SignalTable   schema.ID // signal.data.collection, zero for none
	SignalColumn  string    // its first column
	SourceSignals bool      // rows of it are signals
	SignalFile    string    // "" for none
	SignalPoll    time.Duration
	SignalRetries int // of writing a watermark
	SignalBackoff time.Duration
	ReadOnly      bool // nothing is written to the database
	InsertDelete  bool // a window is closed by deleting the row that opened it
	ChunkRows     int
}

// filters are anchored and compare without case: schemas against "schema", tables against "schema.table", columns against
// "schema.table.column". Nil lists filter nothing. See captures, capturesColumn and snapshots.
type filters struct {
	SchemaInclude, SchemaExclude []*regexp.Regexp
	TableInclude, TableExclude   []*regexp.Regexp
	ColumnInclude, ColumnExclude []*regexp.Regexp
	SnapshotInclude              []*regexp.Regexp
	MessageInclude               []*regexp.Regexp // against the prefixes of logical messages
	MessageExclude               []*regexp.Regexp
	IgnoreBuiltin                bool
}

// sslOptions are libpq's.
type sslOptions struct {
	Mode, Cert, Key, RootCert string
	Password                  config.Secret
}

// identityRule is one rule of replica.identity.autoset.values.
type identityRule struct {
	Table    *regexp.Regexp
	Identity string // DEFAULT, FULL, NOTHING, or USING INDEX "name"
}

// streams says whether changes are read after the snapshot, which takes a slot and a publication.
func (o *options) streams() bool {
	return o.SnapshotMode != "initial_only" && (o.SnapshotMode != "configuration_based" || o.StartStream)
}

// address is host:port, for messages.
func (o *options) address() string { return net.JoinHostPort(o.Hostname, strconv.Itoa(o.Port)) }

// skips says whether an operation is not emitted. Snapshot rows are never skipped.
func (o *options) skips(op byte) bool { return strings.IndexByte(o.SkippedOps, op) >= 0 }

// parseOptions decodes properties that definition's Parse found no error in.
func parseOptions(v config.Values) (options, error) {
	o := options{
		loginOptions:    parseLogin(v),
		slotOptions:     parseSlot(v),
		snapshotting:    parseSnapshotting(v),
		Types:           parseTypeOptions(v),
		FieldAdjust:     v.Get("field.name.adjustment.mode"),
		ConvertFailure:  v.Get("event.converting.failure.handling.mode"),
		SkippedOps:      skippedOperations(v.List("skipped.operations")),
		SkippedOpsGiven: v.Has("skipped.operations"),
		MaxBatchSize:    int(v.Int("max.batch.size")),
		signalling:      parseSignalling(v),
		TopicPrefix:     v.Get("topic.prefix"),
		TxMetadata:      v.Bool("provide.transaction.metadata"),
		HeartbeatQuery:  v.Get("heartbeat.action.query"),
		CollectionsMax:  int(v.Int("guardrail.collections.max")),
		CollectionsFail: v.Get("guardrail.collections.limit.action") == "fail",
	}
	return o, o.parsePatterns(v)
}

func parseLogin(v config.Values) loginOptions {
	return loginOptions{
		Hostname:     v.Get("database.hostname"),
		Port:         int(v.Int("database.port")),
		Database:     v.Get("database.dbname"),
		User:         v.Get("database.user"),
		Password:     v.Secret("database.password"),
		TCPKeepAlive: v.Bool("database.tcpKeepAlive"),
		SSL: sslOptions{
			Mode: v.Get("database.sslmode"), Cert: v.Get("database.sslcert"), Key: v.Get("database.sslkey"),
			RootCert: v.Get("database.sslrootcert"), Password: v.Secret("database.sslpassword"),
		},
		InitialStatements: splitStatements(v.Get("database.initial.statements")),
		QueryTimeout:      v.Millis("database.query.timeout.ms"),
		ValidationTimeout: v.Millis("connection.validation.timeout.ms"),
	}
}

func parseSlot(v config.Values) slotOptions {
	return slotOptions{
		SlotName:        v.Get("slot.name"),
		SlotDropOnStop:  v.Bool("slot.drop.on.stop"),
		SlotFailover:    v.Bool("slot.failover"),
		StreamParams:    streamParams(v.Get("slot.stream.params")),
		FlushManual:     v.Get("lsn.flush.mode") == "manual" || !v.Has("lsn.flush.mode") && !v.Bool("flush.lsn.source"),
		Mismatch:        strings.ToLower(v.Get("offset.mismatch.strategy")),
		SlotMaxRetries:  int(v.Int("slot.max.retries")),
		SlotRetryDelay:  v.Millis("slot.retry.delay.ms"),
		PluginName:      "pgoutput",
		Publication:     v.Get("publication.name"),
		PublicationMode: v.Get("publication.autocreate.mode"),
		PublishViaRoot:  v.Bool("publish.via.partition.root"),
		StatusInterval:  v.Millis("status.update.interval.ms"),
		XminInterval:    v.Millis("xmin.fetch.interval.ms"),
		CheckPosition:   v.Bool("internal.log.position.check.enable"),
		Guard: guardOptions{
			Interval: v.Millis("slot.guard.interval.ms"), Message: v.Millis("slot.message.interval.ms"), Retained: v.Int("slot.guard.retained.bytes"),
			SafePercent: v.Int("slot.guard.safe.percent"), Hours: v.Int("slot.guard.hours"),
		},
	}
}

func parseSignalling(v config.Values) signalling {
	s := signalling{
		SignalTable:   parseSignalTable(v.Get("signal.data.collection")),
		SignalColumn:  "id",
		SignalPoll:    v.Millis("signal.poll.interval.ms"),
		SignalRetries: int(v.Int("signal.emit.failure.max.retries")),
		SignalBackoff: v.Millis("signal.emit.failure.backoff.ms"),
		ReadOnly:      v.Bool("read.only"),
		InsertDelete:  strings.EqualFold(v.Get("incremental.snapshot.watermarking.strategy"), "insert_delete"),
		ChunkRows:     int(v.Int("incremental.snapshot.chunk.size")),
	}
	for _, channel := range v.List("signal.enabled.channels") {
		switch strings.ToLower(channel) {
		case "source":
			s.SourceSignals = s.SignalTable.Name != ""
		case "file":
			s.SignalFile = v.Get("signal.file")
		}
	}
	return s
}

func parseSnapshotting(v config.Values) snapshotting {
	const flag = "snapshot.mode.configuration.based."
	return snapshotting{
		SnapshotMode:        v.Get("snapshot.mode"),
		SnapshotData:        v.Bool(flag + "snapshot.data"),
		SnapshotOnDataError: v.Bool(flag + "snapshot.on.data.error"),
		StartStream:         v.Bool(flag + "start.stream"),
		SnapshotThreads:     int(v.Int("snapshot.max.threads")),
		SnapshotMultiplier:  int(v.Int("snapshot.max.threads.multiplier")),
		SnapshotMultipliers: parseMultipliers(v),
		LegacyThreads:       v.Bool("legacy.snapshot.max.threads"),
		SnapshotIsolation:   v.Get("snapshot.isolation.mode"),
		SnapshotLock:        v.Get("snapshot.locking.mode") == "shared",
		SnapshotLockTimeout: v.Millis("snapshot.lock.timeout.ms"),
		SnapshotDelay:       v.Millis("snapshot.delay.ms"),
		StreamingDelay:      v.Millis("streaming.delay.ms"),
		SnapshotOrder:       v.Get("snapshot.tables.order.by.row.count"),
		SnapshotSelects:     parseSelects(v),
	}
}

// parseTypeOptions decodes how values look.
func parseTypeOptions(v config.Values) TypeOptions {
	placeholder := []byte(v.Get("unavailable.value.placeholder"))
	if digits, ok := strings.CutPrefix(string(placeholder), "hex:"); ok {
		if p, err := hex.DecodeString(digits); err == nil {
			placeholder = p
		}
	}
	return TypeOptions{
		Time:           v.Get("time.precision.mode"),
		Decimal:        v.Get("decimal.handling.mode"),
		Binary:         v.Get("binary.handling.mode"),
		Hstore:         v.Get("hstore.handling.mode"),
		Interval:       v.Get("interval.handling.mode"),
		IncludeUnknown: v.Bool("include.unknown.datatypes"),
		Literals:       v.Bool("internal.literal.types"),
		MoneyDigits:    int(v.Int("money.fraction.digits")),
		Placeholder:    placeholder,
	}
}

// parseMultipliers collects snapshot.max.threads.multiplier.<schema>.<table>.
func parseMultipliers(v config.Values) map[string]int {
	out := map[string]int{}
	for name := range v.Raw() {
		if table, ok := strings.CutPrefix(name, "snapshot.max.threads.multiplier."); ok {
			out[table] = int(v.Int(name))
		}
	}
	return out
}

func parseSelects(v config.Values) map[string]string {
	out := map[string]string{}
	for _, table := range v.List(selectOverrides) {
		out[table] = strings.TrimRight(v.Get(selectOverrides+"."+table), "; \t\r\n")
	}
	return out
}

// skippedOperations joins the operations, "none" is none.
func skippedOperations(items []string) string {
	var out strings.Builder
	for _, s := range items {
		if !strings.EqualFold(s, "none") {
			out.WriteString(strings.ToLower(s))
		}
	}
	return out.String()
}

// streamParams decodes slot.stream.params, name=value with semicolons in between.
func streamParams(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ";") {
		if name, value, ok := strings.Cut(part, "="); ok {
			out = append(out, schema.QuoteName(strings.TrimSpace(name))+" "+quoteLiteral(strings.TrimSpace(value)))
		}
	}
	return out
}

// splitStatements splits at semicolons; a doubled one stands for itself.
func splitStatements(s string) []string {
	var out []string
	for part := range strings.SplitSeq(strings.ReplaceAll(s, ";;", "\x00"), ";") {
		if part = strings.TrimSpace(strings.ReplaceAll(part, "\x00", ";")); part != "" {
			out = append(out, part)
		}
	}
	return out
}
