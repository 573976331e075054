/**
 * The `ottla` command of a checkout: the command line, with `serve` from the services. Packages never import
 * services, so the two meet here.
 */
import { runCli } from "../packages/cli/src/index.ts";

process.exitCode = await runCli(process.argv.slice(2), {
  serve: async (argv) => {
    const { runServe } = await import("../services/standalone/src/index.ts");
    return runServe(argv);
  },
});
