// SPDX-License-Identifier: Apache-2.0

// Package kafkaclient makes the options of Kafka clients of the properties that Kafka Connect has for them: those of
// Java's producer, consumer and admin client.
//
// Its main type is Worker, the client properties of a worker: `producer.*`, `consumer.*`, `admin.*`, which a connector's
// `producer.override.*` and so on change for its tasks. Producer, Consumer and Admin declare each property, with what it does
// here. The package connects to nothing.
package kafkaclient

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"freshet/config"
	"freshet/emitter/topic/kafka"
)

// Kind is a kind of client.
type Kind string

// The kinds, as prefixes of properties name them.
const (
	Producer Kind = "producer"
	Consumer Kind = "consumer"
	Admin    Kind = "admin"
)

// Kinds are all of them.
var Kinds = []Kind{Producer, Consumer, Admin}

// Def declares the properties of a kind of client.
func (k Kind) Def() config.Def {
	keys := slices.Clone(commonKeys)
	switch k {
	case Producer:
		keys = append(keys, producerKeys...)
	case Consumer:
		keys = append(keys, consumerKeys...)
	}
	return config.Def{Keys: append(keys, securityKeys...)}
}

// client is one client's properties, decoded.
type client struct {
	brokers    []string
	opts       []kgo.Opt
	maxRequest int32
	maxBuffer  int64
	fromEnd    bool
	metadata   time.Duration
	// transactions is how long the broker lets one take.
	transactions time.Duration
}

// decode makes a client of properties without their prefix. Problems name the properties with it.
func (k Kind) decode(properties map[string]string, prefix string) (client, []config.Problem) {
	def := k.Def()
	v, problems := def.Parse(properties)
	for i := range problems {
		problems[i].Message = strings.Replace(problems[i].Message, problems[i].Property, prefix+problems[i].Property, 1)
		problems[i].Property = prefix + problems[i].Property
	}
	for _, name := range v.Unknown(nil) {
		if k == Admin && prefix == "" {
			break // the worker's own, which it knows
		}
		problems = append(problems, config.Problem{Property: prefix + name, Message: fmt.Sprintf("The property '%s' is not known to a Kafka client and has no effect", prefix+name), Warning: true})
	}
	if len(config.Errors(problems)) > 0 {
		return client{}, problems
	}
	c := client{metadata: v.Millis("metadata.max.age.ms")}
	refuse := func(property string, err error) {
		problems = append(problems, config.Problem{Property: prefix + property, Message: fmt.Sprintf("Invalid value for configuration %s: %v", prefix+property, err)})
	}
	var moved bool
	if c.brokers, moved = brokers(v.List("bootstrap.servers")); moved && prefix == "" {
		problems = append(problems, config.Problem{Property: "bootstrap.servers", Message: "bootstrap.servers: addresses are host:port; what stands before :// is left out", Warning: true})
	}
	c.opts = []kgo.Opt{
		kgo.SeedBrokers(c.brokers...), kgo.MaxVersions(kversion.Stable()), kgo.SoftwareNameAndVersion("freshet", "1"),
		kgo.ConnIdleTimeout(v.Millis("connections.max.idle.ms")), kgo.RequestTimeoutOverhead(v.Millis("request.timeout.ms")),
		kgo.MetadataMinAge(time.Second), kgo.RetryBackoffFn(backoff(v.Millis("retry.backoff.ms"), v.Millis("retry.backoff.max.ms"))),
	}
	if k != Consumer {
		c.opts = append(c.opts, kgo.MetadataMaxAge(max(c.metadata, 2*time.Second)))
	}
	if id := v.Get("client.id"); id != "" {
		c.opts = append(c.opts, kgo.ClientID(id))
	}
	if rack := v.Get("client.rack"); rack != "" {
		c.opts = append(c.opts, kgo.Rack(rack))
	}
	security, property, err := secure(v)
	if err != nil {
		refuse(property, err)
	}
	c.opts = append(c.opts, security...)
	switch k {
	case Producer:
		problems = append(problems, c.produce(v, prefix)...)
	case Consumer:
		c.consume(v)
	}
	return c, problems
}

// brokers are the addresses without a scheme; moved says that there was one.
func brokers(list []string) (out []string, moved bool) {
	for _, s := range list {
		if _, rest, ok := strings.Cut(s, "://"); ok {
			s, moved = strings.TrimSuffix(rest, "/"), true
		}
		out = append(out, s)
	}
	return out, moved
}

// backoff grows from least to most.
func backoff(least, most time.Duration) func(int) time.Duration {
	return func(failures int) time.Duration {
		d := least << min(max(failures-1, 0), 16)
		if d <= 0 || d > most {
			return max(most, least)
		}
		return d
	}
}

// produce adds what only producers have.
func (c *client) produce(v config.Values, prefix string) []config.Problem {
	var problems []config.Problem
	warn := func(property, message string) {
		problems = append(problems, config.Problem{Property: prefix + property, Message: message, Warning: true})
	}
	c.maxRequest = int32(min(v.Int("max.request.size"), 1<<30-1))
	c.maxBuffer = v.Int("buffer.memory")
	c.transactions = v.Millis("transaction.timeout.ms")
	acks, idempotent := kgo.AllISRAcks(), v.Bool("enable.idempotence")
	switch v.Get("acks") {
	case "0":
		acks = kgo.NoAck()
	case "1":
		acks = kgo.LeaderAck()
	}
	if a := v.Get("acks"); a == "0" || a == "1" {
		idempotent = false
		warn("acks", fmt.Sprintf("%sacks=%s: a broker that fails loses records whose positions are stored; leave it out for all", prefix, a))
	}
	c.opts = append(c.opts, kgo.RequiredAcks(acks), kgo.ProducerLinger(v.Millis("linger.ms")), kgo.BrokerMaxWriteBytes(max(100<<20, c.maxRequest+1<<20)),
		compression(v.Get("compression.type")), kgo.ProduceRequestTimeout(v.Millis("request.timeout.ms")))
	if !idempotent {
		inFlight := 1 // as Kafka Connect has it: the order stays over retries
		if v.Has("max.in.flight.requests.per.connection") {
			if inFlight = int(v.Int("max.in.flight.requests.per.connection")); inFlight > 1 {
				warn("max.in.flight.requests.per.connection", fmt.Sprintf("%smax.in.flight.requests.per.connection=%d without idempotence: a retry may change the order of records", prefix, inFlight))
			}
		}
		c.opts = append(c.opts, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(inFlight))
	}
	if ms := v.Int("delivery.timeout.ms"); ms < math.MaxInt32 {
		c.opts = append(c.opts, kgo.RecordDeliveryTimeout(max(v.Millis("delivery.timeout.ms"), time.Second)))
	}
	if n := v.Int("retries"); n < math.MaxInt32 {
		c.opts = append(c.opts, kgo.RecordRetries(int(n)))
	}
	return problems
}

// compression is how batches are compressed.
func compression(name string) kgo.Opt {
	if name == "lz4" {
		return kgo.WithCompressor(newLZ4())
	}
	codecs := map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "zstd": kgo.ZstdCompression()}
	codec, ok := codecs[name]
	if !ok {
		codec = kgo.NoCompression()
	}
	return kgo.ProducerBatchCompression(codec, kgo.NoCompression())
}

var assignors = map[string]kgo.GroupBalancer{
	"RangeAssignor": kgo.RangeBalancer(), "RoundRobinAssignor": kgo.RoundRobinBalancer(), "StickyAssignor": kgo.StickyBalancer(),
	"CooperativeStickyAssignor": kgo.CooperativeStickyBalancer(),
}

// assignor is the simple name of an assignor's class.
func assignor(class string) string { return class[strings.LastIndexByte(class, '.')+1:] }

// consume adds what only consumers have.
func (c *client) consume(v config.Values) {
	var balancers []kgo.GroupBalancer
	for _, class := range v.List("partition.assignment.strategy") {
		balancers = append(balancers, assignors[assignor(class)])
	}
	isolation := kgo.ReadUncommitted()
	if v.Get("isolation.level") == "read_committed" {
		isolation = kgo.ReadCommitted()
	}
	c.fromEnd = v.Get("auto.offset.reset") == "latest"
	most, partition := v.Int("fetch.max.bytes"), v.Int("max.partition.fetch.bytes")
	if !v.Has("fetch.max.bytes") {
		most = max(most, partition)
	}
	c.opts = append(c.opts, kgo.Balancers(balancers...), kgo.FetchIsolationLevel(isolation), kgo.FetchMinBytes(int32(v.Int("fetch.min.bytes"))),
		kgo.FetchMaxBytes(int32(most)), kgo.FetchMaxWait(v.Millis("fetch.max.wait.ms")),
		kgo.FetchMaxPartitionBytes(int32(partition)), kgo.BrokerMaxReadBytes(int32(min(2*max(most, 100<<20), 1<<30))),
		kgo.SessionTimeout(v.Millis("session.timeout.ms")), kgo.HeartbeatInterval(v.Millis("heartbeat.interval.ms")), kgo.RebalanceTimeout(v.Millis("max.poll.interval.ms")))
	if id := v.Get("group.instance.id"); id != "" {
		c.opts = append(c.opts, kgo.InstanceID(id))
	}
}

// Worker are the client properties of a worker.
type Worker struct {
	properties map[string]string
	policy     string
}

// NewWorker takes the properties of a worker. The problems are those of its own clients.
func NewWorker(properties map[string]string) (*Worker, []config.Problem) {
	w := &Worker{properties: properties, policy: "All"}
	if p := strings.TrimSpace(properties["connector.client.config.override.policy"]); p != "" {
		w.policy = p
	}
	var problems []config.Problem
	for _, k := range Kinds {
		_, found := k.decode(w.of(k, nil), string(k)+".")
		for i := range found {
			w.asWritten(&found[i])
		}
		problems = append(problems, found...)
	}
	_, found := Admin.decode(w.of(Admin, nil), "")
	for _, p := range found {
		if !slices.ContainsFunc(problems, func(has config.Problem) bool { return strings.HasSuffix("."+has.Property, "."+p.Property) }) {
			problems = append(problems, p)
		}
	}
	return w, problems
}

// asWritten lets a problem name the property that the user wrote: an admin client has what stands without a prefix, too.
func (w *Worker) asWritten(p *config.Problem) {
	plain, ok := strings.CutPrefix(p.Property, string(Admin)+".")
	if _, prefixed := w.properties[p.Property]; !ok || prefixed {
		return
	}
	if _, given := w.properties[plain]; given {
		p.Message = strings.ReplaceAll(p.Message, p.Property, plain)
		p.Property = plain
	}
}

// of are the properties of a kind of client, a connector's overrides last. As in Kafka Connect the worker's own security
// settings reach admin clients only: producers and consumers have theirs with the prefix.
func (w *Worker) of(k Kind, connector map[string]string) map[string]string {
	out := map[string]string{}
	if k == Admin {
		def := k.Def()
		for name, value := range w.properties {
			if def.Find(name) != nil {
				out[name] = value
			}
		}
	}
	out["bootstrap.servers"] = w.properties["bootstrap.servers"]
	maps.Copy(out, under(w.properties, string(k)+"."))
	maps.Copy(out, under(connector, string(k)+".override."))
	return out
}

// under are the properties whose names begin with prefix, without it.
func under(properties map[string]string, prefix string) map[string]string {
	out := map[string]string{}
	for name, value := range properties {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out[rest] = value
		}
	}
	return out
}

// Check says what is wrong with the client settings of a connector, and with those of the topics that it has created.
func (w *Worker) Check(connector map[string]string) []config.Problem {
	_, problems := w.creation(connector)
	for _, k := range Kinds {
		prefix := string(k) + ".override."
		given := under(connector, prefix)
		if len(given) == 0 {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if !w.allowed(name) {
				problems = append(problems, config.Problem{Property: prefix + name, Message: fmt.Sprintf(
					"The '%s' policy does not allow '%s' to be overridden in the connector configuration.", w.policy, name)})
			}
		}
		_, found := k.decode(w.of(k, connector), prefix)
		for _, p := range found {
			if _, own := given[strings.TrimPrefix(p.Property, prefix)]; own {
				problems = append(problems, p)
			}
		}
	}
	return problems
}

// allowed says whether the override policy lets a connector set a client property.
func (w *Worker) allowed(name string) bool {
	switch w.policy {
	case "None":
		return false
	case "Principal":
		return name == "sasl.jaas.config" || name == "sasl.mechanism" || name == "security.protocol"
	}
	return true
}

// Options are those of the log of a connector's task, or of the worker itself where connector is nil. id gives clients
// their client.id, where no property does; {kind} in it stands for the kind.
func (w *Worker) Options(connector map[string]string, id string) (kafka.Options, error) {
	return w.options(connector, id, false)
}

// TransactionalOptions are those of the log of an exactly-once source's task: Transactions lacks its id. As in Kafka Connect the
// producer is idempotent and waits for all replicas, whatever the properties say.
func (w *Worker) TransactionalOptions(connector map[string]string, id string) (kafka.Options, error) {
	return w.options(connector, id, true)
}

func (w *Worker) options(connector map[string]string, id string, transactional bool) (kafka.Options, error) {
	var o kafka.Options
	var errs []error
	for _, k := range Kinds {
		properties := w.named(k, connector, id)
		if k == Producer && transactional {
			properties["enable.idempotence"], properties["acks"] = "true", "all"
			delete(properties, "max.in.flight.requests.per.connection")
		}
		c, problems := k.decode(properties, string(k)+".")
		for _, p := range config.Errors(problems) {
			errs = append(errs, p)
		}
		switch k {
		case Producer:
			o.Producer, o.MaxRequestBytes, o.MaxBytes = c.opts, c.maxRequest, c.maxBuffer
			if transactional {
				o.Transactions = &kafka.Transactions{Timeout: c.transactions}
			}
		case Consumer:
			o.Consumer, o.FromEnd = c.opts, c.fromEnd
			o.RefreshInterval = min(max(c.metadata, time.Second), 5*time.Second)
		case Admin:
			o.Admin, o.Brokers = c.opts, c.brokers
		}
	}
	var problems []config.Problem
	o.Creation, problems = w.creation(connector)
	for _, p := range config.Errors(problems) {
		errs = append(errs, p)
	}
	return o, errors.Join(errs...)
}

// Internal are the options of the worker's own clients, for its topics: as in Kafka Connect what has no prefix counts. They have
// no client.id.
func (w *Worker) Internal() ([]kgo.Opt, error) {
	properties := map[string]string{}
	def := Admin.Def()
	for name, value := range w.properties {
		if def.Find(name) != nil && name != "client.id" {
			properties[name] = value
		}
	}
	c, problems := Admin.decode(properties, "")
	var errs []error
	for _, p := range config.Errors(problems) {
		errs = append(errs, p)
	}
	return c.opts, errors.Join(errs...)
}

func (w *Worker) named(k Kind, connector map[string]string, id string) map[string]string {
	properties := w.of(k, connector)
	if _, ok := properties["client.id"]; !ok && id != "" {
		name := string(k)
		if k == Admin {
			name = "adminclient"
		}
		properties["client.id"] = strings.ReplaceAll(id, "{kind}", name)
	}
	return properties
}
