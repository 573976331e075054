import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { diskContract } from "./disk-contract.ts";
import { NodeDisk } from "./node-disk.ts";

diskContract("NodeDisk", async () => {
  const root = await mkdtemp(`${tmpdir()}/ottla-node-disk-`);
  return { disk: new NodeDisk(), root, end: () => rm(root, { recursive: true, force: true }) };
});
