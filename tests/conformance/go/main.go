// Checks with franz-go (kgo, kadm). Usage: franz-go-checks CHECK BOOTSTRAP; ends with 0 when it holds.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var checks = map[string]func(context.Context, string) error{
	"records":    checkRecords,
	"codecs":     checkCodecs,
	"partitions": checkPartitions,
	"topics":     checkTopics,
	"configs":    checkConfigs,
	"offsets":    checkOffsets,
	"cluster":    checkCluster,
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	check, found := checks[os.Args[1]]
	if !found {
		fmt.Fprintln(os.Stderr, "no such check:", os.Args[1])
		os.Exit(2)
	}
	if err := check(ctx, os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func newClient(bootstrap string, options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(bootstrap)}, options...)...)
}

func createTopic(ctx context.Context, client *kgo.Client, name string, partitions int32) error {
	_, err := kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, name)
	return err
}

// receive polls until that many records have come, in the order in which they came.
func receive(ctx context.Context, client *kgo.Client, count int) ([]*kgo.Record, error) {
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("after %d of %d records: %w", len(records), count, err)
		}
		records = append(records, fetches.Records()...)
	}
	if len(records) != count {
		return nil, fmt.Errorf("%d records, expected %d", len(records), count)
	}
	return records, nil
}

func fromStart(topic string, partitions ...int32) kgo.Opt {
	offsets := map[int32]kgo.Offset{}
	for _, partition := range partitions {
		offsets[partition] = kgo.NewOffset().AtStart()
	}
	return kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
}

// The default producer is idempotent, with acks from all replicas.
func checkRecords(ctx context.Context, bootstrap string) error {
	client, err := newClient(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := createTopic(ctx, client, "go-records", 2); err != nil {
		return err
	}
	var sent []*kgo.Record
	for i := range 1000 {
		record := &kgo.Record{
			Topic: "go-records", Partition: 1, Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)),
			Headers: []kgo.RecordHeader{{Key: "number", Value: fmt.Append(nil, i)}, {Key: "none"}},
		}
		if i%3 != 0 {
			record.Key = fmt.Append(nil, "key ", i)
		}
		if i%5 != 0 {
			record.Value = fmt.Append(nil, "value ", i)
		}
		sent = append(sent, record)
	}
	for i, result := range client.ProduceSync(ctx, sent...) {
		if result.Err != nil || result.Record.Offset != int64(i) {
			return fmt.Errorf("record %d: offset %d, error %v", i, result.Record.Offset, result.Err)
		}
	}
	reader, err := newClient(bootstrap, fromStart("go-records", 1))
	if err != nil {
		return err
	}
	defer reader.Close()
	received, err := receive(ctx, reader, len(sent))
	if err != nil {
		return err
	}
	for i, record := range received {
		want := sent[i]
		same := record.Offset == int64(i) && bytes.Equal(record.Key, want.Key) && bytes.Equal(record.Value, want.Value) &&
			(record.Key == nil) == (want.Key == nil) && (record.Value == nil) == (want.Value == nil) &&
			record.Timestamp.Equal(want.Timestamp) && len(record.Headers) == 2 &&
			bytes.Equal(record.Headers[0].Value, want.Headers[0].Value) && record.Headers[1].Value == nil
		if !same {
			return fmt.Errorf("record %d came back as %+v, sent %+v", i, record, want)
		}
	}
	return nil
}

func checkCodecs(ctx context.Context, bootstrap string) error {
	codecs := []kgo.CompressionCodec{
		kgo.NoCompression(), kgo.GzipCompression(), kgo.SnappyCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(),
	}
	for index, codec := range codecs {
		client, err := newClient(bootstrap, kgo.ProducerBatchCompression(codec))
		if err != nil {
			return err
		}
		if index == 0 {
			if err := createTopic(ctx, client, "go-codecs", 1); err != nil {
				return err
			}
		}
		var records []*kgo.Record
		for i := range 200 {
			value := append(fmt.Append(nil, index, i), bytes.Repeat([]byte("c"), 500)...)
			records = append(records, &kgo.Record{Topic: "go-codecs", Value: value})
		}
		err = client.ProduceSync(ctx, records...).FirstErr()
		client.Close()
		if err != nil {
			return fmt.Errorf("codec %d: %w", index, err)
		}
	}
	reader, err := newClient(bootstrap, fromStart("go-codecs", 0))
	if err != nil {
		return err
	}
	defer reader.Close()
	received, err := receive(ctx, reader, 200*len(codecs))
	if err != nil {
		return err
	}
	for i, record := range received {
		if !bytes.HasPrefix(record.Value, fmt.Append(nil, i/200, i%200)) || record.Attrs.CompressionType() != uint8(i/200) {
			return fmt.Errorf("record %d: codec %d, value %q", i, record.Attrs.CompressionType(), record.Value[:20])
		}
	}
	return nil
}

// 100 partitions in one fetch session, with news in a few of them at a time.
func checkPartitions(ctx context.Context, bootstrap string) error {
	var all []int32
	for i := range int32(100) {
		all = append(all, i)
	}
	client, err := newClient(bootstrap, kgo.RecordPartitioner(kgo.ManualPartitioner()),
		fromStart("go-partitions", all...), kgo.FetchMaxBytes(100_000))
	if err != nil {
		return err
	}
	defer client.Close()
	if err := createTopic(ctx, client, "go-partitions", 100); err != nil {
		return err
	}
	for round, step := range []int32{1, 13, 29} {
		expected := map[int32]int{}
		var records []*kgo.Record
		for partition := int32(round); partition < 100; partition += step {
			for range 10 {
				records = append(records, &kgo.Record{Topic: "go-partitions", Partition: partition, Value: make([]byte, 1000)})
				expected[partition]++
			}
		}
		if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		received, err := receive(ctx, client, len(records))
		if err != nil {
			return err
		}
		for _, record := range received {
			expected[record.Partition]--
		}
		for partition, left := range expected {
			if left != 0 {
				return fmt.Errorf("round %d: partition %d has %d records too few", round, partition, left)
			}
		}
	}
	return nil
}

func checkTopics(ctx context.Context, bootstrap string) error {
	client, err := newClient(bootstrap)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	retention := "3600000"
	created, err := admin.CreateTopic(ctx, 3, -1, map[string]*string{"retention.ms": &retention}, "go-topics")
	if err != nil || created.NumPartitions != 3 {
		return fmt.Errorf("created %+v: %w", created, err)
	}
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, "go-topics"); !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("creating it again: %v", err)
	}
	if results, err := admin.UpdatePartitions(ctx, 5, "go-topics"); err != nil || results.Error() != nil {
		return fmt.Errorf("adding partitions: %v, %v", err, results.Error())
	}
	topics, err := admin.ListTopics(ctx, "go-topics")
	if err != nil || len(topics["go-topics"].Partitions) != 5 || topics["go-topics"].ID != created.ID {
		return fmt.Errorf("listed %+v: %v", topics, err)
	}
	if results, err := admin.DeleteTopics(ctx, "go-topics"); err != nil || results.Error() != nil {
		return fmt.Errorf("deleting: %v, %v", err, results.Error())
	}
	// Another client asks: this one may answer from what it remembers.
	other, err := newClient(bootstrap)
	if err != nil {
		return err
	}
	defer other.Close()
	topics, err = kadm.NewClient(other).ListTopics(ctx, "go-topics")
	if err != nil || !errors.Is(topics["go-topics"].Err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("listed after deletion %+v: %v", topics, err)
	}
	return nil
}

func checkConfigs(ctx context.Context, bootstrap string) error {
	client, err := newClient(bootstrap)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if err := createTopic(ctx, client, "go-configs", 1); err != nil {
		return err
	}
	value := "54321"
	altered, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, "go-configs")
	if err != nil || altered[0].Err != nil {
		return fmt.Errorf("altering: %v, %+v", err, altered)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, "go-configs")
	if err != nil {
		return err
	}
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" && config.MaybeValue() == value {
			return nil
		}
	}
	return fmt.Errorf("retention.ms is not %s in %+v", value, configs[0].Configs)
}

func checkOffsets(ctx context.Context, bootstrap string) error {
	client, err := newClient(bootstrap)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	if err := createTopic(ctx, client, "go-offsets", 1); err != nil {
		return err
	}
	for _, timestamp := range []int64{5_000, 9_000, 7_000, 8_000} {
		record := &kgo.Record{Topic: "go-offsets", Timestamp: time.UnixMilli(timestamp), Value: []byte("x")}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			return err
		}
	}
	lists := []struct {
		name   string
		offset int64
		list   func() (kadm.ListedOffsets, error)
	}{
		{"start", 0, func() (kadm.ListedOffsets, error) { return admin.ListStartOffsets(ctx, "go-offsets") }},
		{"end", 4, func() (kadm.ListedOffsets, error) { return admin.ListEndOffsets(ctx, "go-offsets") }},
		{"max timestamp", 1, func() (kadm.ListedOffsets, error) { return admin.ListMaxTimestampOffsets(ctx, "go-offsets") }},
		{"by time", 1, func() (kadm.ListedOffsets, error) { return admin.ListOffsetsAfterMilli(ctx, 6_000, "go-offsets") }},
	}
	for _, one := range lists {
		listed, err := one.list()
		offset, _ := listed.Lookup("go-offsets", 0)
		if err != nil || offset.Err != nil || offset.Offset != one.offset {
			return fmt.Errorf("%s: %+v, %v", one.name, offset, err)
		}
	}
	target := kadm.Offsets{}
	target.Add(kadm.Offset{Topic: "go-offsets", Partition: 0, At: 3})
	deleted, err := admin.DeleteRecords(ctx, target)
	if result, _ := deleted.Lookup("go-offsets", 0); err != nil || result.Err != nil || result.LowWatermark != 3 {
		return fmt.Errorf("deleting records: %+v, %v", result, err)
	}
	return nil
}

func checkCluster(ctx context.Context, bootstrap string) error {
	client, err := newClient(bootstrap)
	if err != nil {
		return err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	brokers, err := admin.BrokerMetadata(ctx)
	if err != nil || len(brokers.Brokers) != 1 || brokers.Cluster == "" || brokers.Controller != brokers.Brokers[0].NodeID {
		return fmt.Errorf("metadata %+v: %v", brokers, err)
	}
	if versions, err := admin.ApiVersions(ctx); err != nil {
		return fmt.Errorf("versions %+v: %w", versions, err)
	}
	return nil
}
