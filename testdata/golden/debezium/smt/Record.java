// SPDX-License-Identifier: Apache-2.0

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Date;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.connect.data.Field;
import org.apache.kafka.connect.data.Schema;
import org.apache.kafka.connect.data.SchemaBuilder;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.header.Header;
import org.apache.kafka.connect.source.SourceRecord;
import org.apache.kafka.connect.transforms.Transformation;

/** Runs transforms over the records of cases: a line in, the same line with out, error or configError. See README.md. */
public class Record {
    static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), true, "UTF-8");
        for (String line; (line = in.readLine()) != null;) {
            if (!line.isBlank()) {
                out.println(JSON.writeValueAsString(run((ObjectNode) JSON.readTree(line))));
            }
        }
    }

    @SuppressWarnings("unchecked")
    static ObjectNode run(ObjectNode c) throws Exception {
        c.remove(List.of("out", "error", "configError"));
        Transformation<SourceRecord> t = (Transformation<SourceRecord>) Class.forName(c.get("class").asText()).getConstructor().newInstance();
        Map<String, Object> config = new HashMap<>();
        c.get("config").fields().forEachRemaining(e -> config.put(e.getKey(), e.getValue().asText()));
        try {
            t.configure(config);
        } catch (Throwable e) {
            c.set("configError", error(e));
            return c;
        }
        try {
            SourceRecord r = t.apply(record(c.get("in")));
            c.set("out", r == null ? JSON.nullNode() : write(r));
        } catch (Throwable e) {
            c.set("error", error(e));
        }
        return c;
    }

    static ArrayNode error(Throwable e) {
        ArrayNode a = JSON.createArrayNode();
        for (; e != null; e = e.getCause()) {
            a.addArray().add(e.getClass().getName()).add(String.valueOf(e.getMessage()));
        }
        return a;
    }

    static SourceRecord record(JsonNode r) {
        Schema ks = schema(r.get("keySchema")), vs = schema(r.get("valueSchema"));
        Integer partition = r.path("partition").isInt() ? r.get("partition").asInt() : null;
        Long timestamp = r.path("timestamp").isNumber() ? r.get("timestamp").asLong() : null;
        SourceRecord out = new SourceRecord(Map.of(), Map.of(), r.get("topic").asText(), partition, ks, value(r.get("key"), ks), vs,
                value(r.get("value"), vs), timestamp);
        for (JsonNode h : r.get("headers")) {
            Schema s = schema(h.get(1));
            out.headers().add(h.get(0).asText(), value(h.get(2), s), s);
        }
        return out;
    }

    static Schema schema(JsonNode n) {
        if (n == null || n.isNull()) {
            return null;
        }
        Schema.Type type = Schema.Type.valueOf(n.get("type").asText());
        SchemaBuilder b = switch (type) {
            case ARRAY -> SchemaBuilder.array(schema(n.get("value")));
            case MAP -> SchemaBuilder.map(schema(n.get("key")), schema(n.get("value")));
            default -> new SchemaBuilder(type);
        };
        if (n.path("optional").asBoolean()) b.optional();
        if (n.has("name")) b.name(n.get("name").asText());
        if (n.has("version")) b.version(n.get("version").asInt());
        if (n.has("doc")) b.doc(n.get("doc").asText());
        if (n.has("params")) n.get("params").fields().forEachRemaining(e -> b.parameter(e.getKey(), e.getValue().asText()));
        if (n.has("fields")) for (JsonNode f : n.get("fields")) b.field(f.get(0).asText(), schema(f.get(1)));
        if (n.has("default")) b.defaultValue(value(n.get("default"), b));
        return b.build();
    }

    static Object value(JsonNode n, Schema s) {
        if (n == null || n.isNull()) {
            return null;
        }
        Map.Entry<String, JsonNode> e = n.fields().next();
        JsonNode v = e.getValue();
        return switch (e.getKey()) {
            case "INT8" -> (byte) v.asInt();
            case "INT16" -> (short) v.asInt();
            case "INT32" -> v.asInt();
            case "INT64" -> Long.parseLong(v.asText());
            case "FLOAT32" -> Float.parseFloat(v.asText());
            case "FLOAT64" -> Double.parseDouble(v.asText());
            case "BOOLEAN" -> v.asBoolean();
            case "STRING" -> v.asText();
            case "BYTES" -> HexFormat.of().parseHex(v.asText());
            case "DECIMAL" -> new BigDecimal(new BigInteger(v.asText()), n.get("scale").asInt());
            case "DATE" -> new Date(v.asLong());
            case "ARRAY" -> {
                List<Object> a = new ArrayList<>();
                v.forEach(x -> a.add(value(x, s == null ? null : s.valueSchema())));
                yield a;
            }
            case "MAP" -> {
                Map<Object, Object> m = new LinkedHashMap<>();
                v.forEach(x -> m.put(value(x.get(0), s == null ? null : s.keySchema()), value(x.get(1), s == null ? null : s.valueSchema())));
                yield m;
            }
            case "STRUCT" -> {
                Struct st = new Struct(s);
                v.forEach(x -> st.put(x.get(0).asText(), value(x.get(1), s.field(x.get(0).asText()).schema())));
                yield st;
            }
            default -> throw new IllegalArgumentException(e.getKey());
        };
    }

    static ObjectNode write(SourceRecord r) {
        ObjectNode o = JSON.createObjectNode();
        o.put("topic", r.topic());
        o.put("partition", r.kafkaPartition());
        o.set("keySchema", write(r.keySchema()));
        o.set("key", write(r.key()));
        o.set("valueSchema", write(r.valueSchema()));
        o.set("value", write(r.value()));
        o.put("timestamp", r.timestamp());
        ArrayNode headers = o.putArray("headers");
        for (Header h : r.headers()) {
            headers.addArray().add(h.key()).add(write(h.schema())).add(write(h.value()));
        }
        return o;
    }

    static JsonNode write(Schema s) {
        if (s == null) {
            return JSON.nullNode();
        }
        ObjectNode o = JSON.createObjectNode();
        o.put("type", s.type().name());
        if (s.isOptional()) o.put("optional", true);
        if (s.name() != null) o.put("name", s.name());
        if (s.version() != null) o.put("version", s.version());
        if (s.doc() != null) o.put("doc", s.doc());
        if (s.parameters() != null && !s.parameters().isEmpty()) {
            ObjectNode p = o.putObject("params");
            s.parameters().forEach(p::put);
        }
        if (s.defaultValue() != null) o.set("default", write(s.defaultValue()));
        switch (s.type()) {
            case STRUCT -> {
                ArrayNode fields = o.putArray("fields");
                for (Field f : s.fields()) fields.addArray().add(f.name()).add(write(f.schema()));
            }
            case MAP -> {
                o.set("key", write(s.keySchema()));
                o.set("value", write(s.valueSchema()));
            }
            case ARRAY -> o.set("value", write(s.valueSchema()));
            default -> {
            }
        }
        return o;
    }

    static JsonNode write(Object v) {
        if (v == null) {
            return JSON.nullNode();
        }
        ObjectNode o = JSON.createObjectNode();
        if (v instanceof Byte x) o.put("INT8", (int) x);
        else if (v instanceof Short x) o.put("INT16", (int) x);
        else if (v instanceof Integer x) o.put("INT32", x);
        else if (v instanceof Long x) o.put("INT64", x.toString());
        else if (v instanceof Float x) o.put("FLOAT32", x.toString());
        else if (v instanceof Double x) o.put("FLOAT64", x.toString());
        else if (v instanceof Boolean x) o.put("BOOLEAN", x);
        else if (v instanceof String x) o.put("STRING", x);
        else if (v instanceof byte[] x) o.put("BYTES", HexFormat.of().formatHex(x));
        else if (v instanceof ByteBuffer x) o.put("BYTES", HexFormat.of().formatHex(x.array()));
        else if (v instanceof BigDecimal x) o.put("DECIMAL", x.unscaledValue().toString()).put("scale", x.scale());
        else if (v instanceof Date x) o.put("DATE", x.getTime());
        else if (v instanceof List<?> x) {
            ArrayNode a = o.putArray("ARRAY");
            x.forEach(e -> a.add(write(e)));
        } else if (v instanceof Map<?, ?> x) {
            ArrayNode a = o.putArray("MAP");
            x.forEach((k, e) -> a.addArray().add(write(k)).add(write(e)));
        } else if (v instanceof Struct x) {
            ArrayNode a = o.putArray("STRUCT");
            for (Field f : x.schema().fields()) a.addArray().add(f.name()).add(write(x.getWithoutDefault(f.name())));
        } else throw new IllegalArgumentException(v.getClass().getName());
        return o;
    }
}
