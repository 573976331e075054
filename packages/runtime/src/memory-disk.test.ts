import { diskContract } from "./disk-contract.ts";
import { MemoryDisk } from "./memory-disk.ts";

diskContract("MemoryDisk", async () => {
  const disk = new MemoryDisk();
  await disk.makeDirectory("/data");
  return { disk, root: "/data", end: () => Promise.resolve() };
});
