import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidTimestampException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TimeoutException;
import org.apache.kafka.common.record.TimestampType;

/** Checks with KafkaProducer and KafkaConsumer.assign(). Usage: ClientChecks CHECK BOOTSTRAP. */
public final class ClientChecks {
  public static void main(String[] arguments) throws Exception {
    String bootstrap = arguments[1];
    switch (arguments[0]) {
      case "producer" -> producer(bootstrap);
      case "acks" -> acks(bootstrap);
      case "codecs" -> codecs(bootstrap);
      case "offsets" -> offsets(bootstrap);
      case "outOfRange" -> outOfRange(bootstrap);
      case "transactions" -> transactions(bootstrap);
      case "manyPartitions" -> manyPartitions(bootstrap);
      case "largeRecords" -> largeRecords(bootstrap);
      case "timestamps" -> timestamps(bootstrap);
      default -> throw new IllegalArgumentException(arguments[0]);
    }
  }

  /** With default settings, which are those of an idempotent producer with acks=all. */
  private static void producer(String bootstrap) throws Exception {
    String topic = "java-producer";
    TopicPartition partition = new TopicPartition(topic, 1);
    Check.createTopic(bootstrap, topic, 2);
    List<Future<RecordMetadata>> sent = new ArrayList<>();
    try (KafkaProducer<byte[], byte[]> producer = Check.producer(bootstrap)) {
      for (int i = 0; i < 1000; i++) {
        ProducerRecord<byte[], byte[]> record = new ProducerRecord<>(
            topic, 1, 1_700_000_000_000L + i, Check.bytes(keyOf(i)), Check.bytes(valueOf(i)));
        record.headers().add("number", ByteBuffer.allocate(4).putInt(i).array()).add("none", null);
        sent.add(producer.send(record));
      }
      for (int i = 0; i < 1000; i++) Check.equal((long) i, sent.get(i).get().offset(), "offset");
    }
    List<ConsumerRecord<byte[], byte[]>> records = Check.readAll(bootstrap, List.of(partition), 1000);
    for (int i = 0; i < 1000; i++) {
      ConsumerRecord<byte[], byte[]> record = records.get(i);
      Check.equal((long) i, record.offset(), "offset");
      Check.equal(keyOf(i), Check.text(record.key()), "key");
      Check.equal(valueOf(i), Check.text(record.value()), "value");
      Check.equal(1_700_000_000_000L + i, record.timestamp(), "timestamp");
      Check.equal(i, ByteBuffer.wrap(record.headers().lastHeader("number").value()).getInt(), "header");
      Check.equal(null, record.headers().lastHeader("none").value(), "header without a value");
    }
  }

  private static String keyOf(int i) {
    return i % 3 == 0 ? null : "key-" + i;
  }

  private static String valueOf(int i) {
    return i % 5 == 0 ? null : "value-" + i;
  }

  private static void acks(String bootstrap) throws Exception {
    String topic = "java-acks";
    Check.createTopic(bootstrap, topic, 1);
    for (String acks : List.of("0", "1", "all")) {
      try (KafkaProducer<byte[], byte[]> producer =
          Check.producer(bootstrap, "acks", acks, "enable.idempotence", "false")) {
        RecordMetadata sent = producer.send(new ProducerRecord<>(topic, Check.bytes(acks))).get();
        if (!acks.equals("0")) Check.isTrue(sent.hasOffset(), "acks=" + acks + " is answered with the offset");
      }
    }
    List<String> values = Check.readAll(bootstrap, List.of(new TopicPartition(topic, 0)), 3).stream()
        .map(record -> Check.text(record.value())).collect(Collectors.toList());
    Check.equal(List.of("0", "1", "all"), values, "values");
  }

  private static void codecs(String bootstrap) throws Exception {
    String topic = "java-codecs";
    Check.createTopic(bootstrap, topic, 1);
    List<String> codecs = List.of("none", "gzip", "snappy", "lz4", "zstd");
    for (String codec : codecs) {
      try (KafkaProducer<byte[], byte[]> producer =
          Check.producer(bootstrap, "compression.type", codec, "linger.ms", "100")) {
        for (int i = 0; i < 100; i++) {
          producer.send(new ProducerRecord<>(topic, Check.bytes(codec + " " + "x".repeat(i * 10))));
        }
      }
    }
    List<ConsumerRecord<byte[], byte[]>> records =
        Check.readAll(bootstrap, List.of(new TopicPartition(topic, 0)), 500);
    for (int i = 0; i < 500; i++) {
      String expected = codecs.get(i / 100) + " " + "x".repeat(i % 100 * 10);
      Check.equal(expected, Check.text(records.get(i).value()), "value at offset " + i);
    }
  }

  private static void offsets(String bootstrap) throws Exception {
    String topic = "java-offsets";
    TopicPartition partition = new TopicPartition(topic, 0);
    Check.createTopic(bootstrap, topic, 1);
    long start = 1_700_000_000_000L;
    try (KafkaProducer<byte[], byte[]> producer = Check.producer(bootstrap, "batch.size", "1000")) {
      for (int i = 0; i < 500; i++) {
        producer.send(new ProducerRecord<>(topic, 0, start + i * 10L, null, new byte[100]));
      }
    }
    try (KafkaConsumer<byte[], byte[]> consumer = Check.consumer(bootstrap)) {
      consumer.assign(List.of(partition));
      Check.equal(Map.of(partition, 0L), consumer.beginningOffsets(List.of(partition)), "beginning offsets");
      Check.equal(Map.of(partition, 500L), consumer.endOffsets(List.of(partition)), "end offsets");
      OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(partition, start + 1234)).get(partition);
      Check.equal(124L, found.offset(), "offset for a time between two records");
      Check.equal(start + 1240, found.timestamp(), "its timestamp");
      Check.equal(null, consumer.offsetsForTimes(Map.of(partition, start + 10_000)).get(partition), "after the end");
      // A position that carries a leader epoch is validated with OffsetForLeaderEpoch before the first fetch.
      int epoch = found.leaderEpoch().orElseThrow();
      consumer.seek(partition, new OffsetAndMetadata(499, Optional.of(epoch), ""));
      Check.equal(499L, Check.poll(consumer, 1).get(0).offset(), "first offset after a validated seek");
      Check.equal(500L, consumer.position(partition), "position");
      Check.equal(0L, consumer.currentLag(partition).orElseThrow(), "lag");
      consumer.seekToEnd(List.of(partition));
      Check.equal(500L, consumer.position(partition), "position at the end");
      Check.equal(1, consumer.partitionsFor(topic).size(), "partitions");
      Check.isTrue(consumer.listTopics().containsKey(topic), "the topic is listed");
    }
  }

  private static void outOfRange(String bootstrap) throws Exception {
    String topic = "java-out-of-range";
    TopicPartition partition = new TopicPartition(topic, 0);
    Check.createTopic(bootstrap, topic, 1);
    try (KafkaProducer<byte[], byte[]> producer = Check.producer(bootstrap, "batch.size", "0")) {
      for (int i = 0; i < 10; i++) producer.send(new ProducerRecord<>(topic, new byte[] {(byte) i})).get();
    }
    try (Admin admin = Admin.create(Check.settings(bootstrap));
        KafkaConsumer<byte[], byte[]> consumer = Check.consumer(bootstrap)) {
      admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(4))).all().get();
      consumer.assign(List.of(partition));
      consumer.seek(partition, 11);
      Check.fails(OffsetOutOfRangeException.class, () -> Check.poll(consumer, 1));
      consumer.seek(partition, 3);
      Check.fails(OffsetOutOfRangeException.class, () -> Check.poll(consumer, 1));
      consumer.seek(partition, 4);
      Check.equal(4L, Check.poll(consumer, 6).get(0).offset(), "first offset");
    }
  }

  /** Transactions are refused by name, at once: not by a time-out. */
  private static void transactions(String bootstrap) {
    long start = System.nanoTime();
    try (KafkaProducer<byte[], byte[]> producer = Check.producer(bootstrap, "transactional.id", "t-1")) {
      KafkaException refused = Check.fails(KafkaException.class, () -> {
        producer.initTransactions();
        return "transactions";
      });
      Check.isTrue(!(refused instanceof TimeoutException), "refused by a time-out: " + refused.getMessage());
      System.out.println(refused);
    }
    long elapsedMs = (System.nanoTime() - start) / 1_000_000;
    Check.isTrue(elapsedMs < 5_000, "refused after " + elapsedMs + " ms");
  }

  /** More partitions than answers of one fetch hold: fetch sessions carry them over. */
  private static void manyPartitions(String bootstrap) throws Exception {
    String topic = "java-many-partitions";
    Check.createTopic(bootstrap, topic, 100);
    List<TopicPartition> partitions =
        IntStream.range(0, 100).mapToObj(i -> new TopicPartition(topic, i)).collect(Collectors.toList());
    try (KafkaProducer<byte[], byte[]> producer = Check.producer(bootstrap);
        KafkaConsumer<byte[], byte[]> consumer = Check.consumer(bootstrap, "fetch.max.bytes", "100000")) {
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      // Round 0 fills all partitions, later ones a few of them, while the rest of the session stays as it is.
      for (int round = 0; round < 5; round++) {
        int step = round == 0 ? 1 : 13;
        Map<TopicPartition, Long> expected = new HashMap<>();
        for (int i = round; i < 100; i += step) {
          for (int n = 0; n < 10; n++) producer.send(new ProducerRecord<>(topic, i, null, new byte[1000]));
          expected.put(partitions.get(i), 10L);
        }
        producer.flush();
        Map<TopicPartition, Long> received = Check.poll(consumer, expected.size() * 10).stream().collect(
            Collectors.groupingBy(record -> new TopicPartition(topic, record.partition()), Collectors.counting()));
        Check.equal(expected, received, "records by partition in round " + round);
      }
    }
  }

  private static void largeRecords(String bootstrap) throws Exception {
    String topic = "java-large";
    TopicPartition partition = new TopicPartition(topic, 0);
    Check.createTopic(bootstrap, topic, 1);
    byte[] large = new byte[10_000_000];
    for (int i = 0; i < large.length; i++) large[i] = (byte) (i * 31 + i / 251);
    try (Admin admin = Admin.create(Check.settings(bootstrap));
        KafkaProducer<byte[], byte[]> producer = Check.producer(
            bootstrap, "max.request.size", 20_000_000, "buffer.memory", 64_000_000)) {
      Check.fails(RecordTooLargeException.class,
          () -> producer.send(new ProducerRecord<>(topic, large)).get());
      ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
      AlterConfigOp raise =
          new AlterConfigOp(new ConfigEntry("max.message.bytes", "10485760"), AlterConfigOp.OpType.SET);
      admin.incrementalAlterConfigs(Map.of(resource, List.of(raise))).all().get();
      for (int i = 0; i < 3; i++) producer.send(new ProducerRecord<>(topic, large)).get();
    }
    List<ConsumerRecord<byte[], byte[]>> records = Check.readAll(bootstrap, List.of(partition), 3);
    for (ConsumerRecord<byte[], byte[]> record : records) {
      Check.isTrue(Arrays.equals(large, record.value()), "10 MB come back byte for byte");
    }
  }

  private static void timestamps(String bootstrap) throws Exception {
    String appendTime = "java-append-time";
    String bounded = "java-bounded-time";
    Check.createTopic(bootstrap, appendTime, 1, "message.timestamp.type", "LogAppendTime");
    Check.createTopic(bootstrap, bounded, 1, "message.timestamp.before.max.ms", "60000");
    try (KafkaProducer<byte[], byte[]> producer = Check.producer(bootstrap)) {
      long before = System.currentTimeMillis();
      RecordMetadata sent = producer.send(new ProducerRecord<>(appendTime, 0, 1L, null, new byte[1])).get();
      Check.isTrue(sent.timestamp() >= before - 1000, "the producer learns the time of the append");
      ConsumerRecord<byte[], byte[]> record =
          Check.readAll(bootstrap, List.of(new TopicPartition(appendTime, 0)), 1).get(0);
      Check.equal(TimestampType.LOG_APPEND_TIME, record.timestampType(), "timestamp type");
      Check.equal(sent.timestamp(), record.timestamp(), "timestamp");
      Check.fails(InvalidTimestampException.class,
          () -> producer.send(new ProducerRecord<>(bounded, 0, before - 120_000, null, new byte[1])).get());
    }
  }
}
