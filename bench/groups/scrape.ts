import { metadata, offsetCommit } from "@ottla/kafka-protocol";
import { systemClock } from "@ottla/runtime";
import { type BenchNode, COMMIT_VERSION, commitRequest, createTopic, say } from "./bench-node.ts";

const GROUPS = 2_000;
const PARTITIONS = 6;
const SCRAPES = 5;

export async function measureScrape(node: BenchNode): Promise<void> {
  const client = await node.connect();
  await createTopic(client, "scraped", PARTITIONS);
  for (let group = 0; group < GROUPS; group += 1) {
    await client.call(
      offsetCommit,
      COMMIT_VERSION,
      commitRequest(`scraped-${group}`, "scraped", PARTITIONS, 0),
    );
  }
  const scrape = async (): Promise<number> => {
    const startedMs = systemClock.monotonic();
    await (await fetch(`http://127.0.0.1:${node.server.httpPort}/metrics`)).text();
    return systemClock.monotonic() - startedMs;
  };
  await scrape();
  let longestMs = 0;
  const scraped = { isOver: false };
  const pinging = (async () => {
    while (!scraped.isOver) {
      const startedMs = systemClock.monotonic();
      await client.call(metadata, 12, { topics: [], allowAutoTopicCreation: false });
      longestMs = Math.max(longestMs, systemClock.monotonic() - startedMs);
    }
  })();
  let tookMs = 0;
  for (let count = 0; count < SCRAPES; count += 1) tookMs = Math.max(tookMs, await scrape());
  scraped.isOver = true;
  await pinging;
  const pauseMs = (await node.metric(/^nodejs_eventloop_lag_max_seconds (\S+)/m)) * 1_000;
  say(
    `scrape of ${GROUPS} groups, ${GROUPS * PARTITIONS} offsets, longest of ${SCRAPES}: ${Math.round(tookMs)} ms; ` +
      `another request waited ${Math.round(longestMs)} ms at the most meanwhile; ` +
      `longest pause of the server's event loop ${Math.round(pauseMs)} ms`,
  );
  client.close();
}
