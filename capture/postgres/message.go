// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strings"
	"time"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
)

// typeMessage is the message type of logical messages in positions.
const typeMessage = "MESSAGE"

// internalPrefix begins the prefixes of messages that freshet itself writes into the log. They are never emitted.
const internalPrefix = "freshet"

// messageBlock names the schemas of logical messages.
func messageBlock() *capture.MessageBlock {
	const in = "io.debezium.connector.postgresql."
	return &capture.MessageBlock{
		Key: in + "MessageKey", Value: in + "MessageValue", Message: in + "Message",
		Collection: in + "LogicalDecodingMessageMonitor$LogicalDecodingMessageId",
	}
}

// newMessageTable is the table whose changes logical messages are: its key is the prefix, its columns prefix and content.
func newMessageTable(o *options) *schema.Table {
	prefix := schema.Column{Name: "prefix", Type: &schema.Type{Kind: schema.String, Optional: true}}
	content := binaryForm(&o.Types, nil).typ
	content.Optional = true
	return &schema.Table{
		ID:      schema.ID{Catalog: o.Database},
		Key:     []schema.Column{prefix},
		Columns: []schema.Column{prefix, {Name: "content", Type: &content}},
	}
}

// logicalMessage is a message of pg_logical_emit_message.
type logicalMessage struct {
	Transactional bool
	LSN           lsn
	Prefix        string
	Content       []byte
}

func parseMessage(c *cursor) logicalMessage {
	m := logicalMessage{Transactional: c.byte()&1 != 0, LSN: lsn(c.uint64()), Prefix: c.string()}
	m.Content = c.take(int(c.uint32()))
	return m
}

// emitsMessage says whether messages of a prefix are emitted.
func (o *options) emitsMessage(prefix string) bool {
	return !strings.HasPrefix(prefix, internalPrefix) && selects(o.MessageInclude, o.MessageExclude, prefix)
}

// logical takes a logical message. One that belongs to a transaction is like a row of it. Another one comes at its place
// in the log, between transactions, whatever becomes of the one that wrote it: what commits before it was taken, so the
// position moves behind it like behind a commit.
func (d *decoder) logical(b *change.Batch, at lsn, m logicalMessage) {
	if m.Transactional {
		if d.advance(at, typeMessage) || !d.o.emitsMessage(m.Prefix) {
			return
		}
	} else {
		if at <= d.pos.Message {
			return // taken before the restart; rows taken since then may lie before it in the log
		}
		d.pos.LSN, d.pos.Proc, d.pos.Commit, d.pos.Message = at, at, at, at
		d.pos.Type, d.pos.TxID, d.pos.Events = typeMessage, 0, 0
		if !d.o.emitsMessage(m.Prefix) {
			return
		}
	}
	if d.messages == nil {
		d.messages = newMessageTable(d.o)
	}
	key, row := b.NewRow(1), b.NewRow(2)
	prefix := b.Text(m.Prefix)
	b.Set(key, 0, prefix)
	b.Set(row, 0, prefix)
	mark := len(b.Arena)
	b.Arena = append(b.Arena, m.Content...)
	b.Set(row, 1, binaryFrom(b, mark, d.o.Types.Binary))
	ch := change.Change{Table: d.messages, Op: change.Message, Key: key, After: row, SourceMicros: d.pos.Micros}
	if m.Transactional {
		ch.SourceMicros = d.tx.Micros
		d.emit(b, ch, at)
		return
	}
	if ch.SourceMicros == 0 { // nothing was streamed before it whose time it could have
		ch.SourceMicros = time.Now().UnixMicro()
	}
	ch.Source = d.sourceRow(b, at)
	b.Set(ch.Source, sourceTxID, change.NullValue())
	b.Changes = append(b.Changes, ch)
}
