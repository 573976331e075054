/**
 * Loaded into a server with `--import`: once a second it appends what its memory consists of to the file
 * MEMORY_WATCH, in megabytes: resident, V8's heap in use and in all, bytes outside it, of which array
 * buffers.
 */
import { writeFileSync } from "node:fs";

const LOOK_MS = 1_000;
const path = process.env["MEMORY_WATCH"];
if (path !== undefined) {
  const look = (): void => {
    const { arrayBuffers, external, heapTotal, heapUsed, rss } = process.memoryUsage();
    const megabytes = [rss, heapUsed, heapTotal, external, arrayBuffers].map((bytes) =>
      (bytes / 1e6).toFixed(1),
    );
    writeFileSync(path, `${megabytes.join(" ")}\n`, { flag: "a" });
  };
  setInterval(look, LOOK_MS).unref();
}
