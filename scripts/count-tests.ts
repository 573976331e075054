// Prints the closing line of a test run, "N passed, N failed, N skipped", from vitest's JSON report.
import { readFileSync } from "node:fs";

interface Report {
  numPassedTests: number;
  numFailedTests: number;
  numPendingTests: number;
  numTodoTests: number;
  numFailedTestSuites: number;
  testResults: { status: string; name: string; assertionResults: { status: string }[] }[];
}

const path = process.argv[2];
if (path === undefined) throw new Error("usage: count-tests.ts REPORT.json");
const report = JSON.parse(readFileSync(path, "utf8")) as Report;
// A file that could not even be loaded holds no failed test: count it as one.
const brokenFiles = report.testResults.filter(
  (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
);
for (const file of brokenFiles) process.stderr.write(`failed to run: ${file.name}\n`);
const failed = report.numFailedTests + brokenFiles.length;
const skipped = report.numPendingTests + report.numTodoTests;
process.stdout.write(`${report.numPassedTests} passed, ${failed} failed, ${skipped} skipped\n`);
if (failed > 0 || report.numPassedTests === 0) process.exitCode = 1;
