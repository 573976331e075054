"""Produces a file line by line over plain gRPC and reads it back, with nothing but generated stubs.

Usage: roundtrip.py ADDRESS TOPIC PARTITIONS FILE
Each line is KEY:VALUE. Ends with 0 when the same multiset came back and each key's order was kept.
"""

import collections
import queue
import sys
import threading
import zlib

import grpc
from ottla.v1 import admin_pb2, admin_pb2_grpc, log_pb2, log_pb2_grpc, record_pb2

RECORDS_PER_BATCH = 1000
UNANSWERED_BATCHES_MAX = 64


def read_lines(path):
    with open(path, "rb") as file:
        for line in file:
            key, _, value = line.rstrip(b"\n").partition(b":")
            yield key, value


def produce(log, topic, partitions, path):
    """Sends batches over one Produce stream, a bounded number of them unanswered; returns how many records were acknowledged."""
    requests = queue.Queue(maxsize=UNANSWERED_BATCHES_MAX)
    acknowledged = 0
    failure = []

    def feed():
        pending = [[] for _ in range(partitions)]
        correlation = 0
        for key, value in read_lines(path):
            partition = zlib.crc32(key) % partitions
            pending[partition].append(record_pb2.Record(key=key, value=value))
            if len(pending[partition]) == RECORDS_PER_BATCH:
                requests.put(request(correlation, topic, partition, pending[partition]))
                correlation += 1
                pending[partition] = []
        for partition, records in enumerate(pending):
            if records:
                requests.put(request(correlation, topic, partition, records))
                correlation += 1
        requests.put(None)

    def request(correlation, topic, partition, records):
        return log_pb2.ProduceRequest(
            correlation_id=correlation,
            topic=topic,
            partition=partition,
            acks=record_pb2.ACKS_ALL,
            records=record_pb2.RecordList(records=records),
        )

    threading.Thread(target=feed, daemon=True).start()
    for response in log.Produce(iter(requests.get, None)):
        if response.HasField("error"):
            failure.append(response.error)
        else:
            acknowledged += response.result.record_count
    if failure:
        raise SystemExit(f"{len(failure)} batches failed, the first with {failure[0]}")
    return acknowledged


def consume(log, topic, partitions, expected):
    """Reads from the start until every partition is at its end."""
    positions = [log_pb2.ReadPosition(topic=topic, partition=p, earliest=True) for p in range(partitions)]
    call = log.Read(log_pb2.ReadRequest(positions=positions))
    records = []
    for response in call:
        if response.HasField("error"):
            raise SystemExit(f"read failed: {response.error}")
        records.extend((record.key, record.value) for record in response.records)
        if len(records) >= expected:
            break
    call.cancel()
    return records


def main():
    address, topic, partitions, path = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
    options = [("grpc.max_receive_message_length", 64 << 20)]
    with grpc.insecure_channel(address, options=options) as channel:
        admin_pb2_grpc.AdminServiceStub(channel).CreateTopic(
            admin_pb2.CreateTopicRequest(name=topic, partitions=partitions), timeout=30
        )
        log = log_pb2_grpc.LogServiceStub(channel)
        acknowledged = produce(log, topic, partitions, path)
        read = consume(log, topic, partitions, acknowledged)

    sent_by_key = collections.defaultdict(list)
    for key, value in read_lines(path):
        sent_by_key[key].append(value)
    read_by_key = collections.defaultdict(list)
    for key, value in read:
        read_by_key[key].append(value)
    if read_by_key != sent_by_key:
        raise SystemExit("what was read is not what was sent, or a key's order changed")
    print(f"acknowledged {acknowledged}, read {len(read)}, order kept for {len(read_by_key)} keys")


if __name__ == "__main__":
    main()
