/**
 * Consumer groups on one node, over Kafka's protocol: commits in a second; a rebalance of 100 members and
 * 1,000 partitions by both protocols; a scrape of 2,000 groups with 12,000 offsets. On a cluster: commits
 * with three replicas, and how long groups wait whose group-coordinator is killed (both need etcd).
 * Run: `sh scripts/node.sh bench/groups.ts [commits|rebalance|scrape|cluster-commits|takeover ...]`.
 */
import { BenchCluster } from "./groups/bench-cluster.ts";
import { BenchNode } from "./groups/bench-node.ts";
import { measureCommits } from "./groups/commits.ts";
import { HEARTBEAT_MS, measureClassicRebalance, measureConsumerRebalance } from "./groups/rebalance.ts";
import { measureScrape } from "./groups/scrape.ts";
import { measureTakeover } from "./groups/takeover.ts";

const PARTS = {
  commits: measureCommits,
  rebalance: async (node: BenchNode): Promise<void> => {
    await measureConsumerRebalance(node);
    await measureClassicRebalance(node);
  },
  scrape: measureScrape,
};

const asked = process.argv.slice(2);
const flags = ["--groups-consumer-heartbeat-interval-ms", `${HEARTBEAT_MS}ms`];
for (const [name, measure] of Object.entries(PARTS)) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  const node = await BenchNode.start(flags);
  try {
    await measure(node);
  } finally {
    await node.stop();
  }
}
if (asked.length === 0 || asked.includes("cluster-commits")) {
  const cluster = await BenchCluster.start();
  try {
    await measureCommits(cluster);
  } finally {
    await cluster.stop();
  }
}
if (asked.length === 0 || asked.includes("takeover")) await measureTakeover();
process.exit(0);
