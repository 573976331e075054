"""Checks with confluent-kafka (librdkafka). Usage: confluent_checks.py CHECK BOOTSTRAP; ends with 0 when it holds."""

import functools
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, TIMESTAMP_LOG_APPEND_TIME
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions, NewTopic
from confluent_kafka.admin import OffsetSpec, ResourceType

TIMEOUT = 30


@functools.cache
def admin_client(bootstrap):
    """One for the whole run: its pending answers end with the object."""
    return AdminClient({"bootstrap.servers": bootstrap})


def create_topic(bootstrap, name, partitions=1, **config):
    settings = {key.replace("_", "."): value for key, value in config.items()}
    topic = NewTopic(name, partitions, 1, config=settings)
    admin_client(bootstrap).create_topics([topic])[name].result(TIMEOUT)


class Sender:
    """A producer that keeps what became of each record, in the order of the answers."""

    def __init__(self, bootstrap, **config):
        settings = {key.replace("_", "."): value for key, value in config.items()}
        self.producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5, **settings})
        self.delivered = []
        self.failures = []

    def _on_delivery(self, error, message):
        if error is not None:
            self.failures.append(error)
        else:
            self.delivered.append(message)

    def send(self, topic, value, **options):
        while True:
            try:
                self.producer.produce(topic, value=value, on_delivery=self._on_delivery, **options)
                break
            except BufferError:
                self.producer.poll(0.1)
        self.producer.poll(0)

    def finish(self):
        assert self.producer.flush(TIMEOUT) == 0, "records were still unanswered"
        assert not self.failures, self.failures[0]
        return self.delivered


def consumer(bootstrap, **config):
    settings = {key.replace("_", "."): value for key, value in config.items()}
    # A group id is demanded by the library; with assign() and no commits no group is joined.
    return Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False,
         "auto.offset.reset": "error", **settings}
    )


def receive(reader, count):
    """That many records, in the order in which they came."""
    records = []
    deadline = time.monotonic() + TIMEOUT
    while len(records) < count and time.monotonic() < deadline:
        for message in reader.consume(num_messages=min(1000, count - len(records)), timeout=1):
            if message.error() is not None:
                raise KafkaException(message.error())
            records.append(message)
    assert len(records) == count, f"{len(records)} of {count} records received"
    return records


def read_all(bootstrap, topic, count, partition=0, **config):
    reader = consumer(bootstrap, **config)
    reader.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
    records = receive(reader, count)
    reader.close()
    return records


def fails(code, action):
    try:
        result = action()
    except KafkaException as thrown:
        actual = thrown.args[0].code()
        assert actual == code, f"expected error {code}, got {thrown.args[0]}"
        return thrown.args[0]
    raise AssertionError(f"expected error {code}, got {result}")


def check_records(bootstrap):
    create_topic(bootstrap, "py-records", 2)
    sender = Sender(bootstrap)
    expected = []
    for i in range(1000):
        key = None if i % 3 == 0 else b"key %d" % i
        value = None if i % 5 == 0 else bytes([i % 256]) * (i % 50)
        headers = [("number", b"%d" % i), ("empty", b""), ("none", None), ("number", b"again")]
        expected.append((i, key, value, headers, 1_700_000_000_000 + i))
        sender.send("py-records", value, key=key, headers=headers, partition=1, timestamp=1_700_000_000_000 + i)
    assert [message.offset() for message in sender.finish()] == list(range(1000))
    actual = [
        (message.offset(), message.key(), message.value(), message.headers(), message.timestamp()[1])
        for message in read_all(bootstrap, "py-records", 1000, partition=1)
    ]
    assert actual == expected


def check_codecs(bootstrap):
    create_topic(bootstrap, "py-codecs")
    codecs = ["none", "gzip", "snappy", "lz4", "zstd"]
    expected = []
    for codec in codecs:
        sender = Sender(bootstrap, compression_type=codec, linger_ms=50)
        for i in range(200):
            expected.append(b"%s %d %s" % (codec.encode(), i, b"x" * 500))
            sender.send("py-codecs", expected[-1])
        sender.finish()
    # check.crcs makes librdkafka verify what the server answers.
    records = read_all(bootstrap, "py-codecs", 1000, check_crcs=True)
    assert [message.value() for message in records] == expected


def check_stored_codec(bootstrap):
    """A topic with a compression.type of its own stores batches so, whatever the producer chose."""
    create_topic(bootstrap, "py-stored-codec", compression_type="zstd")
    for codec in ["none", "gzip"]:
        sender = Sender(bootstrap, compression_type=codec, linger_ms=50)
        for _ in range(100):
            sender.send("py-stored-codec", b"y" * 500)
        sender.finish()
    records = read_all(bootstrap, "py-stored-codec", 200, check_crcs=True)
    assert all(message.value() == b"y" * 500 for message in records)


def check_acks(bootstrap):
    create_topic(bootstrap, "py-acks")
    for acks in ["0", "1", "all"]:
        sender = Sender(bootstrap, acks=acks)
        sender.send("py-acks", acks.encode())
        sender.finish()
    assert [message.value() for message in read_all(bootstrap, "py-acks", 3)] == [b"0", b"1", b"all"]


def check_idempotence(bootstrap):
    create_topic(bootstrap, "py-idempotence", 4)
    sender = Sender(bootstrap, enable_idempotence=True, max_in_flight_requests_per_connection=5, linger_ms=0)
    for i in range(20_000):
        sender.send("py-idempotence", b"%d" % i, partition=i % 4)
    assert len(sender.finish()) == 20_000
    for partition in range(4):
        values = [int(m.value()) for m in read_all(bootstrap, "py-idempotence", 5_000, partition=partition)]
        assert values == list(range(partition, 20_000, 4))


def check_large_records(bootstrap):
    create_topic(bootstrap, "py-large")
    large = bytes(i * 31 % 251 for i in range(1_000)) * 10_000
    sender = Sender(bootstrap, message_max_bytes=20_000_000)
    sender.send("py-large", large)
    sender.producer.flush(TIMEOUT)
    assert [error.code() for error in sender.failures] == [KafkaError.MSG_SIZE_TOO_LARGE], sender.failures
    resource = ConfigResource(ResourceType.TOPIC, "py-large")
    resource.add_incremental_config(
        ConfigEntry("max.message.bytes", "10485760", incremental_operation=AlterConfigOpType.SET)
    )
    admin_client(bootstrap).incremental_alter_configs([resource])[resource].result(TIMEOUT)
    sender = Sender(bootstrap, message_max_bytes=20_000_000)
    for _ in range(5):
        sender.send("py-large", large)
    sender.finish()
    assert all(message.value() == large for message in read_all(bootstrap, "py-large", 5))


def check_timestamps(bootstrap):
    create_topic(bootstrap, "py-append-time", message_timestamp_type="LogAppendTime")
    before = int(time.time() * 1000)
    sender = Sender(bootstrap)
    sender.send("py-append-time", b"x", timestamp=1)
    sender.finish()
    kind, timestamp = read_all(bootstrap, "py-append-time", 1)[0].timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME and before - 1000 <= timestamp <= before + 60_000


def check_positions(bootstrap):
    create_topic(bootstrap, "py-positions")
    sender = Sender(bootstrap, batch_size=2000)
    for i in range(500):
        sender.send("py-positions", b"z" * 100, timestamp=1_700_000_000_000 + i * 10)
    sender.finish()
    reader = consumer(bootstrap)
    partition = TopicPartition("py-positions", 0)
    assert reader.get_watermark_offsets(partition, timeout=TIMEOUT) == (0, 500)
    times = [1_700_000_001_234, 1, 1_800_000_000_000]
    found = [
        reader.offsets_for_times([TopicPartition("py-positions", 0, t)], timeout=TIMEOUT)[0].offset for t in times
    ]
    assert found == [124, 0, OFFSET_END], found
    reader.assign([TopicPartition("py-positions", 0, 499)])
    assert receive(reader, 1)[0].offset() == 499
    reader.seek(TopicPartition("py-positions", 0, 10))
    assert [message.offset() for message in receive(reader, 5)] == [10, 11, 12, 13, 14]
    reader.close()


def check_out_of_range(bootstrap):
    create_topic(bootstrap, "py-out-of-range")
    sender = Sender(bootstrap, linger_ms=0, batch_size=1)
    for _ in range(10):
        sender.send("py-out-of-range", b"x")
    sender.finish()
    target = TopicPartition("py-out-of-range", 0, 4)
    result = admin_client(bootstrap).delete_records([target])
    assert [future.result(TIMEOUT).low_watermark for future in result.values()] == [4]
    for offset in [3, 11]:
        reader = consumer(bootstrap)
        reader.assign([TopicPartition("py-out-of-range", 0, offset)])
        # librdkafka's own code says that its reset policy is "error"; the server's verdict is its reason.
        error = fails(KafkaError._AUTO_OFFSET_RESET, lambda: receive(reader, 1))
        assert "out of range" in error.str(), error.str()
        reader.close()
    reader = consumer(bootstrap, auto_offset_reset="earliest")
    reader.assign([TopicPartition("py-out-of-range", 0, 3)])
    assert receive(reader, 1)[0].offset() == 4
    reader.close()


def check_many_partitions(bootstrap):
    """100 partitions in one fetch session, a few of which have news at a time; small answers, so that all must take turns."""
    create_topic(bootstrap, "py-many", 100)
    reader = consumer(bootstrap, fetch_max_bytes=100_000, message_max_bytes=100_000)
    reader.assign([TopicPartition("py-many", i, OFFSET_BEGINNING) for i in range(100)])
    sender = Sender(bootstrap)
    for round_, step in enumerate([1, 13, 7, 29]):
        expected = []
        for partition in range(round_, 100, step):
            for i in range(10):
                sender.send("py-many", b"%d %d" % (round_, i) + b"m" * 990, partition=partition)
                expected.append((partition, b"%d %d" % (round_, i)))
        sender.producer.flush(TIMEOUT)
        actual = [(m.partition(), m.value().rstrip(b"m")) for m in receive(reader, len(expected))]
        assert sorted(actual, key=lambda pair: pair[0]) == expected, f"round {round_}"
    sender.finish()
    reader.close()


def check_admin_topics(bootstrap):
    admin = admin_client(bootstrap)
    create_topic(bootstrap, "py-topics", 3, retention_ms="3600000")
    fails(KafkaError.TOPIC_ALREADY_EXISTS, lambda: create_topic(bootstrap, "py-topics"))
    fails(KafkaError.TOPIC_EXCEPTION, lambda: create_topic(bootstrap, "not a name"))
    fails(KafkaError.INVALID_PARTITIONS, lambda: create_topic(bootstrap, "py-none", 0))
    fails(KafkaError.INVALID_CONFIG, lambda: create_topic(bootstrap, "py-odd", no_such_setting="1"))
    topic = admin.describe_topics(TopicCollection(["py-topics"]))["py-topics"].result(TIMEOUT)
    assert len(topic.partitions) == 3 and not topic.is_internal
    assert [len(p.isr) for p in topic.partitions] == [1, 1, 1]
    admin.create_partitions([NewPartitions("py-topics", 5)])["py-topics"].result(TIMEOUT)
    assert len(admin.list_topics(timeout=TIMEOUT).topics["py-topics"].partitions) == 5
    fails(
        KafkaError.INVALID_PARTITIONS,
        lambda: admin.create_partitions([NewPartitions("py-topics", 2)])["py-topics"].result(TIMEOUT),
    )
    admin.delete_topics(["py-topics"])["py-topics"].result(TIMEOUT)
    assert "py-topics" not in admin.list_topics(timeout=TIMEOUT).topics
    fails(
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        lambda: admin.delete_topics(["py-topics"])["py-topics"].result(TIMEOUT),
    )


def check_admin_configs(bootstrap):
    admin = admin_client(bootstrap)
    create_topic(bootstrap, "py-configs", retention_ms="1000000")
    resource = ConfigResource(ResourceType.TOPIC, "py-configs")

    def described():
        return admin.describe_configs([resource])[resource].result(TIMEOUT)

    assert described()["retention.ms"].value == "1000000" and not described()["retention.ms"].is_default
    assert described()["max.message.bytes"].is_default
    change = ConfigResource(ResourceType.TOPIC, "py-configs")
    change.add_incremental_config(
        ConfigEntry("retention.ms", None, incremental_operation=AlterConfigOpType.DELETE)
    )
    change.add_incremental_config(
        ConfigEntry("segment.bytes", "2000000", incremental_operation=AlterConfigOpType.SET)
    )
    admin.incremental_alter_configs([change])[change].result(TIMEOUT)
    assert described()["retention.ms"].is_default and described()["segment.bytes"].value == "2000000"
    # The older AlterConfigs replaces all settings of the topic.
    whole = ConfigResource(ResourceType.TOPIC, "py-configs", set_config={"retention.ms": "77777"})
    admin.alter_configs([whole])[whole].result(TIMEOUT)
    assert described()["retention.ms"].value == "77777" and described()["segment.bytes"].is_default
    wrong = ConfigResource(ResourceType.TOPIC, "py-configs", set_config={"retention.ms": "soon"})
    fails(KafkaError.INVALID_CONFIG, lambda: admin.alter_configs([wrong])[wrong].result(TIMEOUT))


def check_admin_offsets(bootstrap):
    admin = admin_client(bootstrap)
    create_topic(bootstrap, "py-offsets")
    for timestamp in [5_000, 9_000, 7_000, 8_000]:
        sender = Sender(bootstrap)
        sender.send("py-offsets", b"x", timestamp=timestamp)
        sender.finish()
    partition = TopicPartition("py-offsets", 0)

    def offset(spec):
        return admin.list_offsets({partition: spec})[partition].result(TIMEOUT).offset

    assert offset(OffsetSpec.earliest()) == 0
    assert offset(OffsetSpec.latest()) == 4
    assert offset(OffsetSpec.max_timestamp()) == 1
    assert offset(OffsetSpec.for_timestamp(6_000)) == 1


def check_cluster(bootstrap):
    admin = admin_client(bootstrap)
    cluster = admin.describe_cluster().result(TIMEOUT)
    assert len(cluster.nodes) == 1 and cluster.cluster_id
    assert cluster.controller.id == cluster.nodes[0].id
    assert admin.list_topics(timeout=TIMEOUT).cluster_id == cluster.cluster_id


def check_auto_creation(bootstrap):
    sender = Sender(bootstrap)
    sender.send("py-auto-created", b"first", partition=0)
    sender.finish()
    assert read_all(bootstrap, "py-auto-created", 1)[0].value() == b"first"
    # A consumer that does not ask for it creates nothing.
    reader = consumer(bootstrap, allow_auto_create_topics=False)
    topic = reader.list_topics("py-not-created", timeout=TIMEOUT).topics["py-not-created"]
    assert topic.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART, topic.error
    reader.close()
    assert "py-not-created" not in admin_client(bootstrap).list_topics(timeout=TIMEOUT).topics


def check_transactions(bootstrap):
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "t-1"})
    start = time.monotonic()
    try:
        producer.init_transactions(20)
    except KafkaException as refused:
        error = refused.args[0]
        assert error.code() != KafkaError._TIMED_OUT, error
        assert time.monotonic() - start < 5, f"refused after {time.monotonic() - start:.1f} s"
        return
    raise AssertionError("transactions were not refused")


if __name__ == "__main__":
    globals()[f"check_{sys.argv[1]}"](sys.argv[2])
