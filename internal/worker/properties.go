// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"freshet/config"
	"freshet/config/provider"
	"freshet/connect"
	"freshet/connect/rest"
	"freshet/emitter/topic/local"
	"freshet/internal/kafkaclient"
)

// DefaultDataDir is where topics, positions and connectors live unless data.dir says something else.
const DefaultDataDir = "./freshet-data"

const (
	embedded   = "topics are local, so there is no Kafka client to set up"
	inDataDir  = "positions are stored in data.dir, with the records"
	noOtherJar = "all plug-ins are part of the binary"
)

// definition declares the worker's properties, as worker.properties of Kafka Connect has them, and our own.
var definition = config.Def{Keys: []config.Key{
	{Name: "data.dir", Type: config.String, Default: DefaultDataDir, HasDefault: true, Importance: config.High, Doc: "Folder of topics, positions and connectors."},
	{Name: "listeners", Type: config.List, Default: rest.DefaultListener, HasDefault: true, Importance: config.High, Doc: "Addresses of the REST API, http://HOST:PORT or https://HOST:PORT; an empty host is all. Addresses that other machines reach take https and rest.auth.token.file, or --insecure."},
	{
		Name: "rest.auth.token.file", Type: config.String, Importance: config.High,
		Doc: "File of the tokens that requests must show as Authorization: Bearer, or as the password of Basic: a line each, TOKEN or NAME TOKEN, behind which may stand a role: viewer, operator or admin (the default). One that is not there is made, with a random token. It is read again when it changes. Without it nobody is asked.",
	},
	{
		Name: "listeners.https.<ssl property>", Type: config.String, Importance: config.Medium, Pattern: regexp.MustCompile(`^listeners\.https\.`),
		Doc: "TLS of https listeners: ssl.keystore.location (PEM with key and certificates, PKCS12 or JKS), ssl.keystore.password, ssl.key.password, ssl.keystore.certificate.chain and ssl.keystore.key (PEM in the property), ssl.client.auth (none, requested, required) with ssl.truststore.*. Where none of them is given, ssl.* without the prefix count. A changed file of the certificate is read again.",
	},
	{Name: "admin.listeners", Type: config.List, Importance: config.Low, Doc: "Addresses at which /admin is served instead of at listeners; empty serves it nowhere."},
	{
		Name: "admin.listeners.https.<ssl property>", Type: config.String, Importance: config.Low, Pattern: regexp.MustCompile(`^admin\.listeners\.https\.`),
		Doc: "TLS of https addresses among them, as listeners.https.*.",
	},
	{Name: "rest.allowed.hosts", Type: config.List, HasDefault: true, Importance: config.Medium, Doc: "Host names that requests may be addressed to, besides localhost and addresses; * allows all."},
	{Name: "rest.advertised.host.name", Type: config.String, Importance: config.Low, Doc: "Host name that statuses show, and that requests may be addressed to."},
	{Name: "rest.advertised.port", Type: config.Int, Importance: config.Low, Doc: "Port that statuses show."},
	{Name: "rest.advertised.listener", Type: config.String, Importance: config.Low, Doc: "Which listener other workers use: http or https; http unless given, if there is one.", Check: oneOf("http", "https")},
	{Name: "bootstrap.servers", Type: config.List, Importance: config.High, Doc: "Kafka brokers. Topics are in Kafka then, positions stay in data.dir. Without it topics are in data.dir too."},
	{Name: "key.converter", Type: config.Class, Default: "org.apache.kafka.connect.json.JsonConverter", HasDefault: true, Importance: config.High, Doc: "Converter of record keys."},
	{Name: "value.converter", Type: config.Class, Default: "org.apache.kafka.connect.json.JsonConverter", HasDefault: true, Importance: config.High, Doc: "Converter of record values."},
	{Name: "header.converter", Type: config.Class, Default: "org.apache.kafka.connect.storage.SimpleHeaderConverter", HasDefault: true, Importance: config.Low, Doc: "Converter of record headers."},
	{Name: "task.shutdown.graceful.timeout.ms", Type: config.Long, Default: "5000", HasDefault: true, Importance: config.Low, Doc: "How long a stopped task may take to make durable what it has read."},
	{Name: "retention.ms", Type: config.Long, Default: "604800000", HasDefault: true, Importance: config.Medium, Doc: "How long records are kept; -1 is for ever."},
	{Name: "retention.bytes", Type: config.Long, Default: "-1", HasDefault: true, Importance: config.Medium, Doc: "How many bytes a partition keeps; -1 is without end."},
	{Name: "num.partitions", Type: config.Int, Default: "1", HasDefault: true, Importance: config.Medium, Doc: "Partitions of new topics.", Check: positive},
	{
		Name: "metrics.compat", Type: config.String, Default: "both", HasDefault: true, Importance: config.Low,
		Doc:   "Names of the metrics of GET /metrics: debezium (those of Debezium's and Kafka Connect's dashboards), native or both.",
		Check: oneOf("debezium", "native", "both"),
	},
	{Name: "offset.storage.file.filename", Type: config.String, Importance: config.High, Doc: "Offsets file of a standalone worker of Kafka Connect. Its positions are taken over once, at the first start that finds it; they are kept in data.dir, and the file is not written."},
	{Name: "offset.flush.interval.ms", Type: config.Long, Default: "60000", HasDefault: true, Importance: config.Low, Ignored: inDataDir},
	{Name: "offset.flush.timeout.ms", Type: config.Long, Default: "5000", HasDefault: true, Importance: config.Low, Ignored: inDataDir},
	{Name: "plugin.path", Type: config.List, Importance: config.Low, Ignored: noOtherJar},
	{Name: "plugin.discovery", Type: config.String, Importance: config.Low, Ignored: noOtherJar},
	{Name: "topic.creation.enable", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low, Doc: "Whether topic.creation.* of connectors creates topics in Kafka; else the brokers do it. Local topics are made when the first record comes."},
	{Name: "config.providers", Type: config.List, Importance: config.Low, Doc: "Names of providers, which resolve references such as ${file:/run/secrets/db.properties:password} in these properties, at the start, and in those of connectors, whenever a task starts. References are stored and shown as they are."},
	{
		Name: "config.providers.<name>.class", Type: config.Class, Importance: config.Low, Pattern: regexp.MustCompile(`^config\.providers\.[^.]+\.class$`),
		Doc: "org.apache.kafka.common.config.provider.FileConfigProvider: ${name:FILE:KEY}, a key of a file of Java properties. DirectoryConfigProvider: ${name:FOLDER:FILE}, the whole content of a file. EnvVarConfigProvider: ${name:VARIABLE}.",
	},
	{
		Name: "config.providers.<name>.param.<parameter>", Type: config.String, Importance: config.Low, Pattern: regexp.MustCompile(`^config\.providers\.[^.]+\.param\.`),
		Doc: "allowed.paths of the first two: the folders that they may read, separated by commas. allowlist.pattern of the third: the variables, as a regular expression.",
	},
	{Name: "rest.extension.classes", Type: config.List, Importance: config.Low, Later: "listen on a loopback address, behind a proxy that checks who asks"},
	{Name: "access.control.allow.origin", Type: config.List, HasDefault: true, Importance: config.Low, Doc: "Origins whose pages may use the API from a browser (CORS), such as https://console.example. Unless given, requests of other origins are refused.", Check: origins},
	{Name: "access.control.allow.methods", Type: config.List, HasDefault: true, Importance: config.Low, Doc: "Methods that those pages may use; GET, POST and HEAD unless given."},
	{
		Name: "response.http.headers.config", Type: config.String, HasDefault: true, Importance: config.Low,
		Doc:   `Headers of every answer: set X-Frame-Options: DENY,"add Cache-Control: no-cache, no-store". The actions are set, add, setDate and addDate.`,
		Check: func(s string, _ config.Values) string { return message(rest.ParseHeaders(s)) },
	},
	{Name: "topic.tracking.enable", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low, Doc: "Whether GET /connectors/NAME/topics tells the topics that a connector has used."},
	{Name: "topic.tracking.allow.reset", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low, Doc: "Whether PUT /connectors/NAME/topics/reset forgets them."},
	{Name: "connector.client.config.override.policy", Type: config.String, Default: "All", HasDefault: true, Importance: config.Low, Doc: "Which client settings connectors may override: All, None, or Principal (login only).", Check: oneOf("All", "None", "Principal")},
}}

func join(problems []config.Problem) error {
	errs := make([]error, len(problems))
	for i, p := range problems {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// Definition declares the worker's properties, for the reference.
func Definition() config.Def { return definition }

func positive(s string, v config.Values) string {
	if v.Int("num.partitions") < 1 {
		return "Value must be at least 1"
	}
	return ""
}

// origins refuses what is no origin. All of them (*) is refused too: any page that a user opens could change connectors.
func origins(s string, _ config.Values) string {
	for _, o := range config.SplitList(s) {
		u, err := url.Parse(o)
		if o == "*" || err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" {
			return "name origins such as https://console.example, separated by commas"
		}
	}
	return ""
}

// message is the text of an error.
func message[T any](_ T, err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

// oneOf refuses other values.
func oneOf(allowed ...string) func(string, config.Values) string {
	return func(s string, _ config.Values) string {
		if slices.Contains(allowed, s) {
			return ""
		}
		return "Value must be one of " + strings.Join(allowed, ", ")
	}
}

// settings are the worker's properties, decoded.
type settings struct {
	hider     *provider.Hider // of what the properties' references stand for
	dataDir   string
	listeners []string
	// admin are the addresses of /admin; ownAdmin says that it is not served with the rest.
	admin     []string
	ownAdmin  bool
	api       rest.Options // what the properties say of it
	tokens    string       // file of tokens, "" for none
	hosts     []string
	advertise string // host:port, "" is the listener's
	connect   connect.WorkerConfig
	log       local.Options
	metrics   string // metrics.compat
	// offsetsFile is that of Kafka Connect, "" for none.
	offsetsFile string
	clients     *kafkaclient.Worker // nil where topics are local
	warnings    []config.Problem
}

// parse decodes worker.properties of a worker of one process. Its error names every property that is wrong.
func parse(properties map[string]string, environ []string) (settings, error) {
	s, _, err := parseBy(&definition, properties, environ)
	return s, err
}

// parseBy decodes the properties that a definition declares.
func parseBy(def *config.Def, properties map[string]string, environ []string) (settings, config.Values, error) {
	providers, found := provider.New(properties, environ)
	if errs := config.Errors(found); len(errs) > 0 {
		return settings{}, config.Values{}, join(errs)
	}
	properties, hider, err := providers.ResolveHidden(properties)
	if err != nil {
		return settings{}, config.Values{}, err
	}
	v, problems := def.Parse(properties)
	problems = append(problems, found...)
	s := settings{
		hider:       hider,
		dataDir:     v.Get("data.dir"),
		listeners:   v.List("listeners"),
		hosts:       v.List("rest.allowed.hosts"),
		metrics:     v.Get("metrics.compat"),
		offsetsFile: v.Get("offset.storage.file.filename"),
		connect:     connect.WorkerConfig{Properties: properties, Providers: providers, DrainTimeout: v.Millis("task.shutdown.graceful.timeout.ms")},
		log: local.Options{
			DefaultPartitions: int32(v.Int("num.partitions")),
			RetentionTime:     unlimited(v.Millis("retention.ms")),
			RetentionBytes:    unlimited(v.Int("retention.bytes")),
		},
	}
	s.tokens = v.Get("rest.auth.token.file")
	s.admin, s.ownAdmin = v.List("admin.listeners"), v.Has("admin.listeners")
	s.api = rest.Options{
		Origins: v.List("access.control.allow.origin"), OriginMethods: v.List("access.control.allow.methods"),
		NoTracking: !v.Bool("topic.tracking.enable"), NoTopicReset: !v.Bool("topic.tracking.allow.reset"),
	}
	s.api.Headers, _ = rest.ParseHeaders(v.Get("response.http.headers.config")) // the check has told its error
	if host := v.Get("rest.advertised.host.name"); host != "" {
		s.hosts = append(s.hosts, host)
		if s.advertise = host; v.Has("rest.advertised.port") {
			s.advertise += ":" + v.Get("rest.advertised.port")
		}
	}
	if len(v.List("bootstrap.servers")) > 0 {
		var found []config.Problem
		s.clients, found = kafkaclient.NewWorker(properties)
		problems = append(problems, found...)
	}
	var errs []error
	problems = append(problems, s.connect.CheckWorker()...)
	for _, p := range problems {
		p.Message = hider.Of(p.Property, p.Message)
		if p.Warning {
			s.warnings = append(s.warnings, p)
		} else {
			errs = append(errs, p)
		}
	}
	if len(s.listeners) == 0 {
		errs = append(errs, errors.New("listeners is empty: write listeners="+rest.DefaultListener))
	}
	https := slices.ContainsFunc(slices.Concat(s.listeners, s.admin), isHTTPS)
	for _, name := range v.Unknown(isConverterSetting) {
		if s.clients != nil && (isClientSetting(name) || def == &groupDefinition && isTopicSetting(name)) || https && kafkaclient.IsServerProperty(name) {
			continue
		}
		s.warnings = append(s.warnings, config.Problem{Property: name, Message: unknownWhy(name), Warning: true})
	}
	return s, v, hider.Error(errors.Join(errs...))
}

func isHTTPS(listener string) bool { return strings.HasPrefix(strings.ToLower(listener), "https:") }

func isConverterSetting(name string) bool {
	return strings.HasPrefix(name, "key.converter.") || strings.HasPrefix(name, "value.converter.") || strings.HasPrefix(name, "header.converter.")
}

// isClientSetting says whether a property is one of Kafka's clients, which has been judged.
func isClientSetting(name string) bool {
	for _, k := range kafkaclient.Kinds {
		if strings.HasPrefix(name, string(k)+".") {
			return true
		}
	}
	def := kafkaclient.Admin.Def()
	return def.Find(name) != nil
}

func unknownWhy(name string) string {
	for _, prefix := range []string{"producer.", "consumer.", "admin.", "ssl.", "sasl.", "security.", "client.", "metric"} {
		if strings.HasPrefix(name, prefix) {
			return fmt.Sprintf("The property '%s' has no effect here: %s", name, embedded)
		}
	}
	return fmt.Sprintf("The property '%s' is not known to the worker and has no effect", name)
}

// unlimited makes 0 the smallest limit, as Kafka means it; the log means its default by it.
func unlimited[T int64 | time.Duration](n T) T {
	if n == 0 {
		return 1
	}
	return n
}
