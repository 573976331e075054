import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * What the documentation of KafkaProducer and KafkaConsumer shows first, with the settings it shows alone.
 * Usage: QuickStart CHECK BOOTSTRAP.
 */
public final class QuickStart {
  private static final String STRINGS = "org.apache.kafka.common.serialization.String";

  public static void main(String[] arguments) throws Exception {
    String bootstrap = arguments[1];
    switch (arguments[0]) {
      case "automatic" -> automatic(bootstrap);
      case "manual" -> manual(bootstrap);
      default -> throw new IllegalArgumentException(arguments[0]);
    }
  }

  /** Two topics, offsets committed each second by the consumer itself. */
  private static void automatic(String bootstrap) throws Exception {
    Properties settings = consumerSettings(bootstrap, "automatic");
    settings.setProperty("enable.auto.commit", "true");
    settings.setProperty("auto.commit.interval.ms", "1000");
    List<ConsumerRecord<String, String>> received = new ArrayList<>();
    try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
      consumer.subscribe(Arrays.asList("foo", "bar"));
      untilAssigned(consumer);
      produce(bootstrap, "foo", 100);
      produce(bootstrap, "bar", 100);
      while (received.size() < 200 || committed(bootstrap, "automatic") < 200) {
        consumer.poll(Duration.ofMillis(100)).forEach(received::add);
      }
    }
    Check.equal(200, received.size(), "records");
    long keys = received.stream().map(record -> record.topic() + record.key()).distinct().count();
    Check.equal(200L, keys, "keys");
  }

  /** Records are gathered, stored elsewhere two hundred at a time, and committed then. */
  private static void manual(String bootstrap) throws Exception {
    Properties settings = consumerSettings(bootstrap, "manual");
    settings.setProperty("enable.auto.commit", "false");
    List<ConsumerRecord<String, String>> buffer = new ArrayList<>();
    int stored = 0;
    try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
      consumer.subscribe(Arrays.asList("baz", "qux"));
      untilAssigned(consumer);
      produce(bootstrap, "baz", 450);
      while (stored + buffer.size() < 450) {
        consumer.poll(Duration.ofMillis(100)).forEach(buffer::add);
        if (buffer.size() < 200) continue;
        stored += buffer.size();
        consumer.commitSync();
        buffer.clear();
      }
    }
    Check.equal((long) stored, committed(bootstrap, "manual"), "committed records");
  }

  private static Properties consumerSettings(String bootstrap, String group) {
    Properties settings = new Properties();
    settings.setProperty("bootstrap.servers", bootstrap);
    settings.setProperty("group.id", group);
    settings.setProperty("key.deserializer", STRINGS + "Deserializer");
    settings.setProperty("value.deserializer", STRINGS + "Deserializer");
    return settings;
  }

  /** A new group begins at the end: what is produced before it knows where that is does not come. */
  private static void untilAssigned(KafkaConsumer<String, String> consumer) {
    while (consumer.assignment().stream().map(partition -> partition.topic()).distinct().count() < 2) {
      consumer.poll(Duration.ofMillis(100));
    }
    consumer.assignment().forEach(consumer::position);
  }

  private static void produce(String bootstrap, String topic, int count) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    settings.put("linger.ms", 1);
    settings.put("key.serializer", STRINGS + "Serializer");
    settings.put("value.serializer", STRINGS + "Serializer");
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings)) {
      for (int i = 0; i < count; i++) {
        producer.send(new ProducerRecord<>(topic, Integer.toString(i), Integer.toString(i)));
      }
    }
  }

  /** How many records lie before the group's offsets: its topics were empty when it came. */
  private static long committed(String bootstrap, String group) throws Exception {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", bootstrap);
    try (Admin admin = Admin.create(settings)) {
      long sum = 0;
      var offsets = admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
      for (OffsetAndMetadata offset : offsets.values()) {
        sum += offset == null ? 0 : offset.offset();
      }
      return sum;
    }
  }
}
