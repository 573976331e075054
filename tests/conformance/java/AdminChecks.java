import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeClusterResult;
import org.apache.kafka.clients.admin.ListOffsetsResult;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.ProducerState;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.OffsetOutOfRangeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** Checks with the Admin client. Usage: AdminChecks CHECK BOOTSTRAP. */
public final class AdminChecks {
  public static void main(String[] arguments) throws Exception {
    try (Admin admin = Admin.create(Check.settings(arguments[1]))) {
      switch (arguments[0]) {
        case "cluster" -> cluster(admin);
        case "topics" -> topics(admin);
        case "refusals" -> refusals(admin);
        case "configs" -> configs(admin);
        case "brokerConfigs" -> brokerConfigs(admin);
        case "partitions" -> partitions(admin);
        case "offsets" -> offsets(admin, arguments[1]);
        case "producersAndLogDirs" -> producersAndLogDirs(admin, arguments[1]);
        default -> throw new IllegalArgumentException(arguments[0]);
      }
    }
  }

  private static void cluster(Admin admin) throws Exception {
    DescribeClusterResult cluster = admin.describeCluster();
    Collection<Node> nodes = cluster.nodes().get();
    Check.equal(1, nodes.size(), "brokers");
    Node controller = cluster.controller().get();
    Check.equal(nodes.iterator().next(), controller, "the controller is the one broker");
    Check.isTrue(!cluster.clusterId().get().isEmpty(), "the cluster has an id");
    admin.describeFeatures().featureMetadata().get();
  }

  private static void topics(Admin admin) throws Exception {
    CreateTopicsResult created = admin.createTopics(
        List.of(new NewTopic("java-topics", 3, (short) 1).configs(Map.of("retention.ms", "3600000"))));
    Uuid id = created.topicId("java-topics").get();
    Check.equal(3, created.numPartitions("java-topics").get(), "partitions in the answer");
    Check.equal(1, created.replicationFactor("java-topics").get(), "replication factor in the answer");
    Check.equal("3600000", created.config("java-topics").get().get("retention.ms").value(), "config in the answer");

    TopicDescription byName = admin.describeTopics(List.of("java-topics")).allTopicNames().get().get("java-topics");
    Check.equal(id, byName.topicId(), "topic id");
    Check.equal(3, byName.partitions().size(), "partitions");
    Check.equal(1, byName.partitions().get(0).replicas().size(), "replicas");
    TopicDescription byId =
        admin.describeTopics(TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get().get(id);
    Check.equal("java-topics", byId.name(), "name of the id");
    Check.isTrue(admin.listTopics().names().get().contains("java-topics"), "the topic is listed");

    // Partitions and replication factor may be left to the cluster, and the server can check without creating.
    admin.createTopics(List.of(new NewTopic("java-defaults", java.util.Optional.empty(), java.util.Optional.empty())))
        .all().get();
    admin.createTopics(List.of(new NewTopic("java-only-checked", 1, (short) 1)),
        new CreateTopicsOptions().validateOnly(true)).all().get();
    Set<String> names = admin.listTopics().names().get();
    Check.isTrue(names.contains("java-defaults"), "the topic with default partitions exists");
    Check.isTrue(!names.contains("java-only-checked"), "validateOnly creates nothing");

    admin.deleteTopics(List.of("java-topics")).all().get();
    admin.deleteTopics(TopicCollection.ofTopicNames(List.of("java-defaults"))).all().get();
    Check.isTrue(!admin.listTopics().names().get().contains("java-topics"), "the topic is gone");
    TopicDescription again = null;
    admin.createTopics(List.of(new NewTopic("java-topics", 1, (short) 1))).all().get();
    again = admin.describeTopics(List.of("java-topics")).allTopicNames().get().get("java-topics");
    Check.isTrue(!again.topicId().equals(id), "a topic of the same name has another id");
    admin.deleteTopics(TopicCollection.ofTopicIds(List.of(again.topicId()))).all().get();
  }

  private static void refusals(Admin admin) throws Exception {
    NewTopic topic = new NewTopic("java-refusals", 1, (short) 1);
    admin.createTopics(List.of(topic)).all().get();
    Check.fails(TopicExistsException.class, () -> admin.createTopics(List.of(topic)).all().get());
    Check.fails(InvalidTopicException.class,
        () -> admin.createTopics(List.of(new NewTopic("no spaces", 1, (short) 1))).all().get());
    Check.fails(InvalidPartitionsException.class,
        () -> admin.createTopics(List.of(new NewTopic("java-none", 0, (short) 1))).all().get());
    Check.fails(InvalidReplicationFactorException.class,
        () -> admin.createTopics(List.of(new NewTopic("java-wide", 1, (short) 9))).all().get());
    InvalidConfigurationException unknown = Check.fails(InvalidConfigurationException.class,
        () -> admin.createTopics(
            List.of(new NewTopic("java-odd", 1, (short) 1).configs(Map.of("no.such.setting", "1")))).all().get());
    Check.isTrue(unknown.getMessage().contains("no.such.setting"), "the message names it: " + unknown.getMessage());
    Check.fails(UnknownTopicOrPartitionException.class,
        () -> admin.describeTopics(List.of("java-absent")).allTopicNames().get());
    Check.fails(UnknownTopicIdException.class,
        () -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(Uuid.randomUuid()))).allTopicIds().get());
    Check.fails(UnknownTopicOrPartitionException.class,
        () -> admin.deleteTopics(List.of("java-absent")).all().get());
    Check.fails(InvalidPartitionsException.class,
        () -> admin.createPartitions(Map.of("java-refusals", NewPartitions.increaseTo(1))).all().get());
    Check.fails(UnknownTopicOrPartitionException.class,
        () -> admin.createPartitions(Map.of("java-absent", NewPartitions.increaseTo(2))).all().get());
  }

  private static void configs(Admin admin) throws Exception {
    admin.createTopics(List.of(new NewTopic("java-configs", 1, (short) 1))).all().get();
    ConfigResource topic = new ConfigResource(ConfigResource.Type.TOPIC, "java-configs");
    ConfigEntry before = describe(admin, topic).get("retention.ms");
    Check.equal(ConfigEntry.ConfigSource.DEFAULT_CONFIG, before.source(), "source of a default");
    Check.isTrue(before.isDefault(), "a default says so");
    alter(admin, topic, "retention.ms", "123456", AlterConfigOp.OpType.SET);
    ConfigEntry after = describe(admin, topic).get("retention.ms");
    Check.equal("123456", after.value(), "value");
    Check.equal(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, after.source(), "source");
    Check.equal(ConfigEntry.ConfigType.LONG, after.type(), "type");
    alter(admin, topic, "retention.ms", "", AlterConfigOp.OpType.DELETE);
    Check.equal(before.value(), describe(admin, topic).get("retention.ms").value(), "value after deletion");
    Check.fails(InvalidConfigurationException.class, () -> {
      alter(admin, topic, "retention.ms", "soon", AlterConfigOp.OpType.SET);
      return "altered";
    });
    Check.fails(UnknownTopicOrPartitionException.class,
        () -> describe(admin, new ConfigResource(ConfigResource.Type.TOPIC, "java-absent")));
  }

  private static void brokerConfigs(Admin admin) throws Exception {
    String id = admin.describeCluster().controller().get().idString();
    Config broker = describe(admin, new ConfigResource(ConfigResource.Type.BROKER, id));
    Check.isTrue(!broker.entries().isEmpty(), "a broker describes its settings");
  }

  private static Config describe(Admin admin, ConfigResource resource) throws Exception {
    return admin.describeConfigs(List.of(resource)).all().get().get(resource);
  }

  private static void alter(
      Admin admin, ConfigResource resource, String name, String value, AlterConfigOp.OpType type) throws Exception {
    AlterConfigOp change = new AlterConfigOp(new ConfigEntry(name, value), type);
    admin.incrementalAlterConfigs(Map.of(resource, List.of(change))).all().get();
  }

  private static void partitions(Admin admin) throws Exception {
    admin.createTopics(List.of(new NewTopic("java-partitions", 1, (short) 1))).all().get();
    admin.createPartitions(Map.of("java-partitions", NewPartitions.increaseTo(4))).all().get();
    TopicDescription topic =
        admin.describeTopics(List.of("java-partitions")).allTopicNames().get().get("java-partitions");
    Check.equal(4, topic.partitions().size(), "partitions");
  }

  private static void offsets(Admin admin, String bootstrap) throws Exception {
    TopicPartition partition = new TopicPartition("java-admin-offsets", 0);
    Check.createTopic(bootstrap, partition.topic(), 1);
    long[] timestamps = {5_000, 9_000, 7_000, 8_000};
    try (KafkaProducer<byte[], byte[]> producer = Check.producer(bootstrap)) {
      for (long timestamp : timestamps) {
        producer.send(new ProducerRecord<>(partition.topic(), 0, timestamp, null, new byte[1])).get();
      }
    }
    Check.equal(0L, offset(admin, partition, OffsetSpec.earliest()).offset(), "earliest");
    Check.equal(4L, offset(admin, partition, OffsetSpec.latest()).offset(), "latest");
    Check.equal(1L, offset(admin, partition, OffsetSpec.maxTimestamp()).offset(), "of the largest timestamp");
    Check.equal(9_000L, offset(admin, partition, OffsetSpec.maxTimestamp()).timestamp(), "the largest timestamp");
    Check.equal(1L, offset(admin, partition, OffsetSpec.forTimestamp(6_000)).offset(), "by time");
    Check.equal(-1L, offset(admin, partition, OffsetSpec.forTimestamp(10_000)).offset(), "by a time after all");
    Check.equal(3L,
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(3))).lowWatermarks().get(partition).get()
            .lowWatermark(), "low watermark");
    Check.equal(3L, offset(admin, partition, OffsetSpec.earliest()).offset(), "earliest after deletion");
    Check.equal(4L,
        admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(-1))).lowWatermarks().get(partition).get()
            .lowWatermark(), "low watermark when all are deleted");
    Check.fails(OffsetOutOfRangeException.class,
        () -> admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(5))).all().get());
  }

  private static ListOffsetsResult.ListOffsetsResultInfo offset(
      Admin admin, TopicPartition partition, OffsetSpec spec) throws Exception {
    return admin.listOffsets(Map.of(partition, spec)).partitionResult(partition).get();
  }

  private static void producersAndLogDirs(Admin admin, String bootstrap) throws Exception {
    TopicPartition partition = new TopicPartition("java-producers", 0);
    Check.createTopic(bootstrap, partition.topic(), 1);
    try (KafkaProducer<byte[], byte[]> producer = Check.producer(bootstrap)) {
      for (int i = 0; i < 7; i++) producer.send(new ProducerRecord<>(partition.topic(), new byte[100])).get();
      List<ProducerState> producers =
          admin.describeProducers(List.of(partition)).partitionResult(partition).get().activeProducers();
      Check.equal(1, producers.size(), "producers");
      Check.equal(6, producers.get(0).lastSequence(), "last sequence");
    }
    int broker = admin.describeCluster().controller().get().id();
    Map<String, LogDirDescription> directories =
        admin.describeLogDirs(List.of(broker)).allDescriptions().get().get(broker);
    Check.equal(1, directories.size(), "log directories");
    LogDirDescription directory = directories.values().iterator().next();
    Check.isTrue(directory.replicaInfos().get(partition).size() >= 700, "the size of a replica");
  }
}
