// SPDX-License-Identifier: Apache-2.0

package history

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
)

// Commit is a committed transaction of the source.
type Commit struct {
	XID     int64 // 32 bits, as the source block has it
	Changes []Change
}

// Change is one change of a row, as the source's own trigger saw it.
type Change struct {
	Table    string // such as public.t
	Op       string // c, u, d or t
	Old, New Row
	Key      []string // columns of the key
}

// Journal is SQL for PostgreSQL that lets a database keep what it committed: triggers note every change of a watched
// table, and a deferred one gives the transaction its place among the commits, under a lock that is held until the commit
// is done. What is rolled back takes its notes with it.
//
// history.watch(table) begins to watch a table; its rows up to then are noted as inserted. Only types whose JSON is that of
// the converters may be watched: integers, booleans and texts.
const Journal = `
create schema history;
create table history.changes(seq bigserial, xid bigint not null default (pg_current_xact_id()::text::bigint & 4294967295),
  tab text not null, op text not null, old jsonb, new jsonb, key text[] not null);
create table history.commits(seq bigserial, xid bigint primary key);
create function history.key_of(t regclass) returns text[] language sql stable as $$
  select coalesce(array_agg(a.attname::text order by a.attnum), '{}') from pg_index i
  join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey) where i.indrelid = t and i.indisprimary $$;
create function history.note() returns trigger language plpgsql security definer as $$
begin
  if tg_op = 'TRUNCATE' then
    insert into history.changes(tab, op, key) values (tg_table_schema || '.' || tg_table_name, 't', coalesce(tg_argv::text[], '{}'));
  else
    insert into history.changes(tab, op, old, new, key) values (tg_table_schema || '.' || tg_table_name,
      case tg_op when 'INSERT' then 'c' when 'UPDATE' then 'u' else 'd' end,
      case when tg_op <> 'INSERT' then to_jsonb(old) end, case when tg_op <> 'DELETE' then to_jsonb(new) end, coalesce(tg_argv::text[], '{}'));
  end if;
  return null;
end $$;
create function history.commit() returns trigger language plpgsql security definer as $$
begin
  perform pg_advisory_xact_lock(7306082);
  insert into history.commits(xid) values (new.xid) on conflict do nothing;
  return null;
end $$;
create constraint trigger commit after insert on history.changes deferrable initially deferred
  for each row execute function history.commit();
create function history.watch(t regclass) returns void language plpgsql as $$
declare args text := (select string_agg(quote_literal(k), ',') from unnest(history.key_of(t)) k);
begin
  execute format('insert into history.changes(tab, op, new, key) select %L, ''c'', to_jsonb(r), history.key_of(%L) from %s r',
    (select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid = t), t::text, t);
  execute format('create trigger zz_history after insert or update or delete on %s for each row execute function history.note(%s)', t, args);
  execute format('create trigger zz_history_truncate after truncate on %s for each statement execute function history.note(%s)', t, args);
end $$;
`

// JournalQuery reads the journal, for ParseJournal.
const JournalQuery = `select c.xid, h.tab, h.op, h.old, h.new, to_jsonb(h.key)
from history.changes h join history.commits c using (xid) order by c.seq, h.seq`

// ParseJournal makes commits of the rows of JournalQuery, their values as texts and NULL as "NULL".
func ParseJournal(rows [][]string) ([]Commit, error) {
	var out []Commit
	for _, r := range rows {
		xid, err := strconv.ParseInt(r[0], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("journal: %w", err)
		}
		ch := Change{Table: r[1], Op: r[2]}
		if ch.Old, err = parseRow(notNull(r[3])); err == nil {
			ch.New, err = parseRow(notNull(r[4]))
		}
		if err == nil {
			err = json.Unmarshal([]byte(r[5]), &ch.Key)
		}
		if err != nil {
			return nil, fmt.Errorf("journal of transaction %d: %w", xid, err)
		}
		if len(out) == 0 || out[len(out)-1].XID != xid {
			out = append(out, Commit{XID: xid})
		}
		last := &out[len(out)-1]
		last.Changes = append(last.Changes, ch)
	}
	return out, nil
}

func notNull(text string) []byte {
	if text == "NULL" {
		return nil
	}
	return []byte(text)
}

// finalRows are the rows of each table after all commits, by key.
func finalRows(commits []Commit) map[string]map[string]Row {
	out := map[string]map[string]Row{}
	for _, c := range commits {
		for i := range c.Changes {
			ch := &c.Changes[i]
			if out[ch.Table] == nil || ch.Op == "t" {
				out[ch.Table] = map[string]Row{}
			}
			ch.apply(out[ch.Table])
		}
	}
	return out
}

// apply changes rows as the change did.
func (ch *Change) apply(rows map[string]Row) {
	if ch.Op == "t" {
		clear(rows)
	}
	if ch.Old != nil {
		delete(rows, ch.Old.only(ch.Key).text())
	}
	if ch.New != nil {
		rows[ch.New.only(ch.Key).text()] = maps.Clone(ch.New)
	}
}
