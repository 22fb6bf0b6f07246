// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"freshet/config"
	"freshet/connect/cluster"
	"freshet/connect/cluster/backing"
	"freshet/connect/cluster/group"
)

// standaloneOnly are properties of a worker that keeps everything in a folder of its own.
var standaloneOnly = []string{"data.dir", "retention.ms", "retention.bytes", "num.partitions", "offset.storage.file.filename", "offset.flush.interval.ms", "offset.flush.timeout.ms"}

// groupDefinition declares the properties of a worker of a group.
var groupDefinition = func() config.Def {
	const java = "as in Kafka Connect"
	key := func(name string, t config.Type, value string, doc string) config.Key {
		return config.Key{Name: name, Type: t, Default: value, HasDefault: true, Importance: config.Medium, Doc: doc}
	}
	needed := func(name, doc string) config.Key {
		return config.Key{Name: name, Type: config.String, Required: true, Importance: config.High, Doc: doc}
	}
	topic := func(what, about string) []config.Key {
		return []config.Key{
			needed(what+".storage.topic", "Topic of "+about+". It is created where there is none. Settings of the topic itself may follow the prefix, such as "+what+".storage.segment.bytes."),
			key(what+".storage.replication.factor", config.Short, "3", "Replicas of that topic; -1 is the brokers' default."),
		}
	}
	atLeast := func(least int64) func(string, config.Values) string {
		return func(s string, _ config.Values) string {
			n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
			if err != nil || n >= least { // the type has told what is no number
				return ""
			}
			return "Value must be at least " + strconv.FormatInt(least, 10)
		}
	}
	checked := func(k config.Key, check func(string, config.Values) string) config.Key {
		k.Check = check
		return k
	}
	algorithms := func(s string, _ config.Values) string {
		for _, name := range config.SplitList(s) {
			if !cluster.KnownAlgorithm(name) {
				return "there is no algorithm " + name
			}
		}
		return ""
	}
	keys := []config.Key{needed("group.id", "Name of the group that this worker shares its connectors with. Sinks have groups of their own, connect-NAME.")}
	keys = append(keys, topic("config", "configurations, with one partition")...)
	keys = append(keys, topic("offset", "positions of sources")...)
	keys = append(keys, checked(key("offset.storage.partitions", config.Int, "25", "Partitions of that topic; -1 is the brokers' default."), atLeast(-1)))
	keys = append(keys, topic("status", "states")...)
	keys = append(keys,
		checked(key("status.storage.partitions", config.Int, "5", "Partitions of that topic; -1 is the brokers' default."), atLeast(-1)),
		key("session.timeout.ms", config.Int, "10000", "After which a worker that is silent is out of the group. It stops its work a heartbeat.interval.ms before."),
		key("heartbeat.interval.ms", config.Int, "3000", "How often a worker says that it is there."),
		key("rebalance.timeout.ms", config.Int, "60000", "How long a worker may hold up a rebalance."),
		checked(key("scheduled.rebalance.max.delay.ms", config.Int, "300000", "How long the work of a worker that has gone waits for it to come back; 0 gives it to others at once."), atLeast(0)),
		config.Key{
			Name: "connect.protocol", Type: config.String, Default: "sessioned", HasDefault: true, Importance: config.Low,
			Doc: "Best protocol that this worker speaks: sessioned (signed requests among workers), compatible, or eager (all work stops at each rebalance). The group speaks what all its workers do.",
			Check: func(s string, _ config.Values) string {
				if _, err := group.ParseVersion(strings.ToLower(s)); err != nil {
					return "Invalid Connect protocol compatibility"
				}
				return ""
			},
		},
		key("worker.sync.timeout.ms", config.Int, "3000", "How long reading the config topic to its end may take; a worker that takes longer stays away from the group for a while."),
		key("worker.unsync.backoff.ms", config.Int, "300000", "How long it stays away."),
		config.Key{
			Name: "exactly.once.source.support", Type: config.String, Default: "disabled", HasDefault: true, Importance: config.High,
			Doc: "Exactly-once sources. preparing is for a first round of restarts of all workers of a group, enabled for a second.", Check: foldedOneOf("disabled", "preparing", "enabled"),
		},
		key("offset.flush.interval.ms", config.Long, "60000", "Length of transactions with transaction.boundary=interval, where the connector does not say."),
		config.Key{Name: "offset.flush.timeout.ms", Type: config.Long, Default: "5000", HasDefault: true, Importance: config.Low, Ignored: "positions are written as soon as the records before them are"},
		checked(key("inter.worker.key.generation.algorithm", config.String, "HmacSHA256", "Algorithm of the keys that sign requests among workers."), algorithms),
		config.Key{Name: "inter.worker.key.size", Type: config.Int, Importance: config.Low, Doc: "Bits of those keys; the algorithm's default unless given."},
		checked(key("inter.worker.key.ttl.ms", config.Int, "3600000", "How long such a key is used."), atLeast(0)),
		checked(key("inter.worker.signature.algorithm", config.String, "HmacSHA256", "Algorithm that signs those requests."), algorithms),
		checked(key("inter.worker.verification.algorithms", config.List, "HmacSHA256", "Algorithms that such requests may be signed by, "+java+"."), algorithms),
	)
	for _, k := range definition.Keys {
		if slices.Contains(standaloneOnly, k.Name) {
			continue
		}
		switch k.Name {
		case "bootstrap.servers":
			k.Default, k.HasDefault, k.Doc = "localhost:9092", true, "Kafka brokers."
		case "topic.creation.enable":
			k.Doc = "Whether topic.creation.* of connectors creates topics; else the brokers do it."
		}
		keys = append(keys, k)
	}
	return config.Def{Keys: keys}
}()

// GroupDefinition declares the properties of a worker of a group, for the reference.
func GroupDefinition() config.Def { return groupDefinition }

// foldedOneOf refuses other values, whatever the case.
func foldedOneOf(allowed ...string) func(string, config.Values) string {
	check := oneOf(allowed...)
	return func(s string, v config.Values) string { return check(strings.ToLower(s), v) }
}

// groupSettings are the properties that only a worker of a group has.
type groupSettings struct {
	settings
	stores      backing.Options // without clients
	member      group.Options   // without client and URL
	session     cluster.Session
	syncTimeout time.Duration
	unsync      time.Duration
	flush       time.Duration
	exactlyOnce bool
}

// parseGroup decodes worker.properties of a worker of a group.
func parseGroup(properties map[string]string, environ []string) (groupSettings, error) {
	s, v, err := parseBy(&groupDefinition, properties, environ)
	if err != nil {
		return groupSettings{}, err
	}
	g := groupSettings{
		settings: s,
		stores: backing.Options{
			ClientID: v.Get("group.id"), Group: v.Get("group.id"),
			Config:   backing.Topic{Name: v.Get("config.storage.topic"), Partitions: 1, Replication: int16(v.Int("config.storage.replication.factor"))},
			Offsets:  backing.Topic{Name: v.Get("offset.storage.topic"), Partitions: int32(v.Int("offset.storage.partitions")), Replication: int16(v.Int("offset.storage.replication.factor"))},
			Statuses: backing.Topic{Name: v.Get("status.storage.topic"), Partitions: int32(v.Int("status.storage.partitions")), Replication: int16(v.Int("status.storage.replication.factor"))},
		},
		member: group.Options{
			Group: v.Get("group.id"), SessionTimeout: v.Millis("session.timeout.ms"), RebalanceTimeout: v.Millis("rebalance.timeout.ms"),
			HeartbeatInterval: v.Millis("heartbeat.interval.ms"), MaxDelay: v.Millis("scheduled.rebalance.max.delay.ms"),
		},
		session: cluster.Session{
			KeyAlgorithm: v.Get("inter.worker.key.generation.algorithm"), KeyTTL: v.Millis("inter.worker.key.ttl.ms"),
			Algorithm: v.Get("inter.worker.signature.algorithm"), Verified: v.List("inter.worker.verification.algorithms"),
		},
		syncTimeout: v.Millis("worker.sync.timeout.ms"), unsync: v.Millis("worker.unsync.backoff.ms"), flush: v.Millis("offset.flush.interval.ms"),
	}
	if v.Has("inter.worker.key.size") {
		g.session.KeyBits = int(v.Int("inter.worker.key.size"))
	}
	if id := strings.TrimSpace(properties["client.id"]); id != "" {
		g.stores.ClientID = id + "-" + g.stores.ClientID
	}
	g.member.Mode, _ = group.ParseVersion(strings.ToLower(v.Get("connect.protocol"))) // the check has told its error
	support := strings.ToLower(v.Get("exactly.once.source.support"))
	g.stores.Transactional, g.exactlyOnce = support != "disabled", support == "enabled"
	g.connect.ExactlyOnce, g.connect.Group = g.exactlyOnce, g.stores.Group
	for _, t := range []struct {
		prefix string
		topic  *backing.Topic
	}{{"config.storage.", &g.stores.Config}, {"offset.storage.", &g.stores.Offsets}, {"status.storage.", &g.stores.Statuses}} {
		var dropped bool
		if t.topic.Settings, dropped = backing.SettingsOf(g.connect.Properties, t.prefix); dropped {
			name := t.prefix + "cleanup.policy"
			g.warnings = append(g.warnings, config.Problem{Property: name, Message: "The property '" + name + "' has no effect: such topics are always compacted", Warning: true})
		}
	}
	return g, g.hider.Error(g.check())
}

// check holds the rules between properties.
func (g *groupSettings) check() error {
	var errs []error
	if g.member.HeartbeatInterval >= g.member.SessionTimeout {
		errs = append(errs, errors.New("Heartbeat must be set lower than the session timeout: choose heartbeat.interval.ms about a third of session.timeout.ms")) //nolint:staticcheck // Kafka's words
	}
	if !slices.Contains(g.session.Verified, g.session.Algorithm) {
		errs = append(errs, fmt.Errorf("inter.worker.signature.algorithm must be among the inter.worker.verification.algorithms, %s", strings.Join(g.session.Verified, ", ")))
	}
	topics := []string{g.stores.Config.Name, g.stores.Offsets.Name, g.stores.Statuses.Name}
	if slices.Sort(topics); len(slices.Compact(topics)) < 3 {
		errs = append(errs, errors.New("config.storage.topic, offset.storage.topic and status.storage.topic must be three topics"))
	}
	return errors.Join(errs...)
}

// isTopicSetting says whether a property is a setting of one of the group's topics.
func isTopicSetting(name string) bool {
	for _, prefix := range []string{"config.storage.", "offset.storage.", "status.storage."} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
