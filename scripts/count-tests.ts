// Prints the closing line of the test runs, "N passed, N failed, N skipped", from vitest's JSON reports.
import { existsSync, readFileSync } from "node:fs";

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  testResults: { status: string; name: string; assertionResults: { status: string }[] }[];
}

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A run that ended without a report, or in which nothing passed, holds no failed test: it counts as one. */
function countReport(path: string): Counts {
  if (!existsSync(path)) {
    process.stderr.write(`no report: ${path}\n`);
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const report = JSON.parse(readFileSync(path, "utf8")) as Report;
  // So does a file that could not even be loaded.
  const brokenFiles = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  );
  for (const file of brokenFiles) process.stderr.write(`failed to run: ${file.name}\n`);
  const failed = report.numFailedTests + brokenFiles.length;
  return {
    passed: report.numPassedTests,
    failed: failed === 0 && report.numPassedTests === 0 ? 1 : failed,
    skipped: report.numPendingTests + report.numTodoTests,
  };
}

const paths = process.argv.slice(2);
if (paths.length === 0) throw new Error("usage: count-tests.ts REPORT.json…");
const counts = paths.map(countReport);
const total = (of: keyof Counts): number => counts.reduce((sum, count) => sum + count[of], 0);
process.stdout.write(`${total("passed")} passed, ${total("failed")} failed, ${total("skipped")} skipped\n`);
if (total("failed") > 0) process.exitCode = 1;
