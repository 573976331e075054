import { create, createFileRegistry, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  ServerReflection,
  type ServerReflectionRequestSchema,
} from "@ottla/proto/grpc/reflection/v1/reflection";
import { expect, test } from "vitest";
import { createClient } from "./create-client.ts";
import { collect, serveOverGrpc } from "./transport-harness.ts";

type Question = MessageInitShape<typeof ServerReflectionRequestSchema>["messageRequest"];

async function ask(questions: readonly Question[], service = ServerReflection) {
  const served = await serveOverGrpc({});
  const stream = createClient(service, served.transport).serverReflectionInfo();
  for (const messageRequest of questions) stream.send({ host: "localhost", messageRequest });
  stream.end();
  const answers = await collect(stream.received);
  await served.close();
  return answers.map(({ messageResponse }) => messageResponse);
}

test("lists the services, so that a tool can start from nothing", async () => {
  const [answer] = await ask([{ case: "listServices", value: "" }]);
  const names = answer?.case === "listServicesResponse" ? answer.value.service.map(({ name }) => name) : [];
  expect(names.sort()).toEqual([
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "ottla.v1.LogService",
  ]);
});

test.each([
  "ottla.v1.LogService",
  "ottla.v1.LogService.Append",
  "ottla.v1.AppendRequest",
  "ottla.v1.AppendRequest.topic",
])("gives the file of %s with all that it imports, enough to build its messages", async (symbol) => {
  const [answer] = await ask([{ case: "fileContainingSymbol", value: symbol }]);
  const files = answer?.case === "fileDescriptorResponse" ? answer.value.fileDescriptorProto : [];
  const file = files.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes)).toReversed();
  expect(file.map(({ name }) => name)).toEqual(["ottla/v1/record.proto", "ottla/v1/log.proto"]);
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file }));
  expect(registry.getService("ottla.v1.LogService")?.methods.map(({ name }) => name)).toContain("Produce");
});

test("gives files by name and says what it does not have", async () => {
  const answers = await ask([
    { case: "fileByFilename", value: "ottla/v1/record.proto" },
    { case: "fileByFilename", value: "nope.proto" },
    { case: "fileContainingSymbol", value: "ottla.v1.Nope" },
    { case: "fileContainingExtension", value: { containingType: "ottla.v1.Record", extensionNumber: 5 } },
    { case: "allExtensionNumbersOfType", value: "ottla.v1.Record" },
    { case: undefined },
  ]);
  expect(answers.map((answer) => answer.case)).toEqual([
    "fileDescriptorResponse",
    "errorResponse",
    "errorResponse",
    "errorResponse",
    "errorResponse",
    "errorResponse",
  ]);
  expect(answers[2]).toMatchObject({
    value: { errorCode: 5, errorMessage: "the server has no symbol ottla.v1.Nope" },
  });
});

test("answers under the protocol's older name too", async () => {
  const method = ServerReflection.method.serverReflectionInfo;
  const alpha = { ...ServerReflection, typeName: "grpc.reflection.v1alpha.ServerReflection" };
  const older = { ...alpha, methods: [{ ...method, parent: alpha }] } as unknown as typeof ServerReflection;
  const [answer] = await ask([{ case: "listServices", value: "" }], older);
  expect(answer?.case).toBe("listServicesResponse");
});
