import { runServe } from "./main.ts";

process.exitCode = await runServe(process.argv.slice(2));
