import { once } from "node:events";
import { createServer } from "node:net";

/**
 * Below the ports that the system gives to connections which programs open: one of those could be taken
 * between the moment in which it was found free and the start of the server that is to have it.
 */
const FIRST_PORT = 10_300;
const PORTS_PER_WORKER = 900;
const MAX_WORKERS = 24;

/** Workers of one run keep to ranges of their own, so that they do not find the same port free. */
const worker = Number(process.env["VITEST_POOL_ID"] ?? process.pid) % MAX_WORKERS;
const firstPort = FIRST_PORT + worker * PORTS_PER_WORKER;
let turn = Math.floor(Math.random() * PORTS_PER_WORKER);

/** Different ports of 127.0.0.1 on which nobody listens now. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  for (let tries = 0; ports.length < count && tries < PORTS_PER_WORKER; tries += 1) {
    turn = (turn + 1) % PORTS_PER_WORKER;
    const port = firstPort + turn;
    if (await isFree(port)) ports.push(port);
  }
  if (ports.length < count) throw new Error(`no ${count} ports are free from ${firstPort} on`);
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch {
    return false;
  }
  server.close();
  await once(server, "close");
  return true;
}
