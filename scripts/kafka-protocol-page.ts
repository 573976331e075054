import { readdir, readFile } from "node:fs/promises";
import { allApis } from "../packages/kafka-protocol/src/apis/all.ts";

const FOLDER = new URL("../services/gateway/src/kafka/", import.meta.url);
const HANDLER_FILE = /^(\d\d)-[a-z-]+\.ts$/;

interface ServedApi {
  readonly key: number;
  readonly name: string;
  readonly file: string;
  readonly versions: string;
  readonly comment: string;
}

/**
 * The page that says which Kafka APIs and versions are served: made from the gateway's
 * handler files, one for each API.
 */
export async function kafkaProtocolPage(): Promise<string> {
  const files = (await readdir(FOLDER)).filter((file) => HANDLER_FILE.test(file)).toSorted();
  const served = await Promise.all(files.map(servedApi));
  const rows = served.map(
    ({ key, name, versions, file }) =>
      `| ${key} | [${name}](#${name.toLowerCase()}) | ${versions} | [${file}](../services/gateway/src/kafka/${file}) |`,
  );
  return [
    "# The Kafka protocol",
    "",
    "<!-- Made by scripts/generate-docs.ts from services/gateway/src/kafka: change the comments there. -->",
    "",
    "What Ottla's gateway serves on port 9092, API by API. Transactions are not served yet.",
    "",
    "| key | API | versions | file |",
    "|---:|---|---|---|",
    ...rows,
    "",
    ...served.flatMap(({ name, comment }) => [`## ${name}`, "", comment, ""]),
  ].join("\n");
}

async function servedApi(file: string): Promise<ServedApi> {
  const source = await readFile(new URL(file, FOLDER), "utf8");
  const key = Number(HANDLER_FILE.exec(file)?.[1]);
  const api = allApis.find((candidate) => candidate.key === key);
  if (api === undefined) throw new Error(`${file}: there is no API ${key}`);
  const versions = /versions: \{ min: (\d+), max: (\d+) \}/.exec(source);
  if (versions === null) throw new Error(`${file}: no versions`);
  const advertised = /advertisedMin: (\d+)/.exec(source)?.[1];
  const [, min, max] = versions;
  const range = min === max ? `${min}` : `${min} to ${max}`;
  return {
    key,
    name: api.name,
    file,
    versions: advertised === undefined ? range : `${range} (advertised from ${advertised})`,
    comment: openingComment(file, source),
  };
}

/** The file's first comment as Markdown. */
function openingComment(file: string, source: string): string {
  const comment = /^\/\*\*\n([\s\S]*?)\n \*\/\n/.exec(source)?.[1];
  if (comment === undefined)
    throw new Error(`${file}: it does not open with a comment that says what it does`);
  const lines = comment.split("\n").map((line) => line.replace(/^ \* ?/, ""));
  if (!lines.some((line) => line.startsWith("Deliberately not here:"))) {
    throw new Error(`${file}: its comment does not say what is "Deliberately not here:"`);
  }
  return lines.join("\n");
}
