import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What the checks share: clients with the settings they have by default, and assertions that say what was wrong. */
final class Check {
  private Check() {}

  static Properties settings(String bootstrap, Object... more) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    for (int i = 0; i < more.length; i += 2) properties.put(more[i], String.valueOf(more[i + 1]));
    return properties;
  }

  static KafkaProducer<byte[], byte[]> producer(String bootstrap, Object... more) {
    return new KafkaProducer<>(settings(bootstrap, more), new ByteArraySerializer(), new ByteArraySerializer());
  }

  static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, Object... more) {
    Properties properties = settings(bootstrap, "enable.auto.commit", "false", "auto.offset.reset", "none");
    properties.putAll(settings(bootstrap, more));
    return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
  }

  static void createTopic(String bootstrap, String name, int partitions, String... config) throws Exception {
    Map<String, String> settings = new HashMap<>();
    for (int i = 0; i < config.length; i += 2) settings.put(config[i], config[i + 1]);
    try (Admin admin = Admin.create(settings(bootstrap))) {
      admin.createTopics(List.of(new NewTopic(name, partitions, (short) 1).configs(settings))).all().get();
    }
  }

  /** Polls until that many records have come, in the order in which they came. */
  static List<ConsumerRecord<byte[], byte[]>> poll(KafkaConsumer<byte[], byte[]> consumer, int count) {
    List<ConsumerRecord<byte[], byte[]>> records = new ArrayList<>();
    long deadline = System.nanoTime() + Duration.ofSeconds(30).toNanos();
    while (records.size() < count && System.nanoTime() < deadline) {
      consumer.poll(Duration.ofMillis(500)).forEach(records::add);
    }
    equal(count, records.size(), "records received");
    return records;
  }

  /** Reads that many records of partitions from their beginning. */
  static List<ConsumerRecord<byte[], byte[]>> readAll(
      String bootstrap, Collection<TopicPartition> partitions, int count, Object... more) {
    try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap, more)) {
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      return poll(consumer, count);
    }
  }

  static byte[] bytes(String text) {
    return text == null ? null : text.getBytes(StandardCharsets.UTF_8);
  }

  static String text(byte[] bytes) {
    return bytes == null ? null : new String(bytes, StandardCharsets.UTF_8);
  }

  static void equal(Object expected, Object actual, String what) {
    if (!Objects.equals(expected, actual)) {
      throw new AssertionError(what + ": expected " + expected + ", got " + actual);
    }
  }

  static void isTrue(boolean condition, String what) {
    if (!condition) throw new AssertionError(what);
  }

  /** Runs what must fail with that exception, alone or as the cause of another; returns it. */
  static <E extends Throwable> E fails(Class<E> expected, Callable<?> action) {
    Object result;
    try {
      result = action.call();
    } catch (Throwable thrown) {
      Throwable cause = thrown instanceof ExecutionException ? thrown.getCause() : thrown;
      if (expected.isInstance(cause)) return expected.cast(cause);
      throw new AssertionError("expected " + expected.getSimpleName() + ", got " + cause, cause);
    }
    throw new AssertionError("expected " + expected.getSimpleName() + ", got " + result);
  }
}
