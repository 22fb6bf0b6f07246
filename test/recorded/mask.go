// SPDX-License-Identifier: Apache-2.0

package recorded

import (
	"regexp"
	"strconv"
)

// replacement is one rule of the recorder: what is volatile, and what stands in its place.
type replacement struct {
	re *regexp.Regexp
	by string
}

func rule(re, by string) replacement { return replacement{regexp.MustCompile(re), by} }

// masks are the recorder's, in its order: clocks, positions, transaction ids, versions.
var masks = []replacement{
	rule(`"(ts_ms|ts_us|ts_ns|lsn|xmin|txId|pos|thread|server_id|ord_|h|stxnid|lsn_proc|lsn_commit|transaction_id)":-?\d+`, `"${1}":0`),
	rule(`"sequence":"(?:[^"\\]|\\.)*"`, `"sequence":"<sequence>"`),
	rule(`"gtid":"[^"]*"`, `"gtid":"<gtid>"`),
	rule(`"file":"[^"]*"`, `"file":"<file>"`),
	rule(`"version":"3\.[^"]*"`, `"version":"<version>"`),
	rule(`"(connect\.)?name":"%s"`, `"name":"%s"`),
	rule(`"transaction":\{"id":"(?:[^"\\]|\\.)*"`, `"transaction":{"id":"<txid>"`),
	rule(`"id":"\d+:\d+"`, `"id":"<txid>"`),
	rule(`"wallTime":\d+`, `"wallTime":0`),
	rule(`"(iodebezium)?ord":\d+`, `"${1}ord":0`),
	rule(`"iodebeziumwallTime":"\d+"`, `"iodebeziumwallTime":"0"`),
	rule(`"txnNumber":\d+`, `"txnNumber":0`),
	rule(`"id":"(?:[0-9a-f-]{36}:(?:\w+:)?\d+|\d+-[1-9]\d*-[1-9]\d*|file=[^"]*)"`, `"id":"<txid>"`),
	rule(`"(__(?:source_)?(?:ts_ms|ts_us|ts_ns|ts|pos|lsn|txId))":-?\d+`, `"${1}":0`),
	rule(`"(__source_(?:gtid|file))":"[^"]*"`, `"${1}":"<masked>"`),
	rule(`"id":"\{\\"id\\": (?:[^"\\]|\\.)*"`, `"id":"<txid>"`),
	rule(`"status":"(BEGIN|END)","id":"(?:[^"\\]|\\.)*"`, `"status":"${1}","id":"<txid>"`),
	rule(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}-(open|close)`, `<uuid>-${1}`),
	rule(`(openWindowTimestamp|closeWindowTimestamp)\\": \\"[^"\\]*`, `${1}\": \"<time>`),
	rule(`"lsid":"(?:[^"\\]|\\.)*"`, `"lsid":"<lsid>"`),
	rule(`"(__(?:source_)?(?:ts_ms|ts_us|ts_ns|lsn|xmin|txId))":-?\d+`, `"${1}":0`),
	rule(`"id":"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"`, `"id":"<uuid>"`),
	rule(`"timestamp":\d{13}\b`, `"timestamp":0`),
	rule(`LogicalDecodingMessageId@[0-9a-f]+`, `LogicalDecodingMessageId@<hash>`),
	rule(`"id":"name:(?:[^"\\]|\\.)*"`, `"id":"name:<id>"`),
	rule(`"time":"[0-9T:.-]+Z","datacontenttype"`, `"time":"<time>","datacontenttype"`),
	rule(`"iodebezium(tsms|tsus|tsns|lsn|txId|xmin|txid)":"[^"]*"`, `"iodebezium${1}":"0"`),
	rule(`"iodebeziumsequence":"(?:[^"\\]|\\.)*"`, `"iodebeziumsequence":"<sequence>"`),
	rule(`"iodebeziumversion":"3\.[^"]*"`, `"iodebeziumversion":"<version>"`),
	rule(`"(source_(?:ts_ms|ts_us|ts_ns|lsn|xmin|txId))":-?\d+`, `"${1}":0`),
	rule(`"source_sequence":"(?:[^"\\]|\\.)*"`, `"source_sequence":"<sequence>"`),
	rule(`"source_version":"3\.[^"]*"`, `"source_version":"<version>"`),
	rule(`\b(ts_ms|ts_us|ts_ns|lsn|xmin|txId)=\d+`, `${1}=0`),
	rule(`\bsequence=\[[^\]]*\]`, `sequence=<sequence>`),
	rule(`\bversion=3\.[^,}]*`, `version=<version>`),
}

func mask(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllString(s, m.by)
	}
	return s
}

var (
	headerRunID  = regexp.MustCompile(`runId$`)
	headerNumber = regexp.MustCompile(`(ts_ms|ts_us|ts_ns|lsn|xmin|txId)$`)
)

// maskHeader masks a header's value by the header's name.
func maskHeader(name, value string) string {
	if headerRunID.MatchString(name) {
		return "<runId>"
	}
	if _, err := strconv.ParseUint(value, 10, 64); err == nil && headerNumber.MatchString(name) {
		return "0"
	}
	return mask(value)
}
