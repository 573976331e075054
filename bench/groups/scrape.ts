import { metadata, offsetCommit } from "@ottla/kafka-protocol";
import { systemClock } from "@ottla/runtime";
import { type BenchNode, COMMIT_VERSION, commitRequest, createTopic, say } from "./bench-node.ts";

const GROUPS = 2_000;
const PARTITIONS = 6;
const SCRAPES = 10;
const LOOK_MS = 10;

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
  // The server looks at its event loop every 10 ms: a longest time of 10 ms is no pause at all.
  let pauseMs = 0;
  const scrape = async (): Promise<number> => {
    const startedMs = systemClock.monotonic();
    const page = await node.metricsPage();
    const endedMs = systemClock.monotonic();
    const longestSeconds = Number(/^nodejs_eventloop_lag_max_seconds (\S+)/m.exec(page)?.[1]);
    pauseMs = Math.max(pauseMs, longestSeconds * 1_000 - LOOK_MS);
    return endedMs - startedMs;
  };
  await scrape();
  pauseMs = 0;
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
  say(
    `scrape of ${GROUPS} groups, ${GROUPS * PARTITIONS} offsets, longest of ${SCRAPES}: ` +
      `${Math.round(tookMs)} ms; ` +
      `another request waited ${Math.round(longestMs)} ms at the most meanwhile; ` +
      `longest pause of the server's event loop ${Math.round(pauseMs)} ms`,
  );
  client.close();
}
