import type { DescFile, DescMessage, DescService, MessageInitShape } from "@bufbuild/protobuf";
import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { GrpcStatus } from "@ottla/errors";
import {
  ServerReflection,
  type ServerReflectionRequest,
  type ServerReflectionResponseSchema,
} from "@ottla/proto/grpc/reflection/v1/reflection";
import { ServiceRegistry } from "./service-registry.ts";

type Question = ServerReflectionRequest["messageRequest"];
type Answer = MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"];

/** The older name of the protocol, which some tools ask first. It is the same on the wire. */
export const REFLECTION_ALIAS = "grpc.reflection.v1alpha.ServerReflection";

/**
 * gRPC's reflection protocol over the descriptors of the services served, so that grpcurl
 * needs no .proto files.
 */
export function reflectionRegistry(services: readonly DescService[]): ServiceRegistry {
  // Built at the first question: most servers are never asked.
  let descriptors: Descriptors | undefined;
  return new ServiceRegistry().add(ServerReflection, {
    async serverReflectionInfo(stream) {
      for await (const request of stream.received) {
        descriptors ??= new Descriptors([...services, ServerReflection]);
        stream.send({
          validHost: request.host,
          originalRequest: request,
          messageResponse: descriptors.answer(request.messageRequest),
        });
        await stream.drained();
      }
    },
  });
}

class Descriptors {
  readonly #services: readonly DescService[];
  readonly #files = new Map<string, DescFile>();
  readonly #symbols = new Map<string, DescFile>();

  constructor(services: readonly DescService[]) {
    this.#services = services;
    for (const service of services) this.#addFile(service.file);
  }

  answer(question: Question): Answer {
    switch (question.case) {
      case "listServices": {
        const service = this.#services.map(({ typeName }) => ({ name: typeName }));
        return { case: "listServicesResponse", value: { service } };
      }
      case "fileByFilename":
        return fileAnswer(this.#files.get(question.value), `file ${question.value}`);
      case "fileContainingSymbol":
        return fileAnswer(this.#symbols.get(question.value), `symbol ${question.value}`);
      case "fileContainingExtension":
        return notFound(`extension ${question.value.extensionNumber} of ${question.value.containingType}`);
      case "allExtensionNumbersOfType":
        return notFound(`extensions of ${question.value}`);
      case undefined:
      default:
        return errorAnswer(GrpcStatus.INVALID_ARGUMENT, "message_request is not set");
    }
  }

  #addFile(file: DescFile): void {
    if (this.#files.has(file.proto.name)) return;
    this.#files.set(file.proto.name, file);
    for (const { typeName } of file.enums) this.#symbols.set(typeName, file);
    for (const message of file.messages) this.#addMessage(message);
    for (const service of file.services) {
      this.#symbols.set(service.typeName, file);
      for (const method of service.methods) this.#symbols.set(`${service.typeName}.${method.name}`, file);
    }
    for (const dependency of file.dependencies) this.#addFile(dependency);
  }

  #addMessage(message: DescMessage): void {
    this.#symbols.set(message.typeName, message.file);
    for (const { name } of message.fields) this.#symbols.set(`${message.typeName}.${name}`, message.file);
    for (const { typeName } of message.nestedEnums) this.#symbols.set(typeName, message.file);
    for (const nested of message.nestedMessages) this.#addMessage(nested);
  }
}

/** The file and all that it imports: a tool needs the whole of it to read any of it. */
function fileAnswer(file: DescFile | undefined, what: string): Answer {
  if (file === undefined) return notFound(what);
  const files = new Set<DescFile>([file]);
  for (const one of files) {
    for (const dependency of one.dependencies) files.add(dependency);
  }
  const fileDescriptorProto = [...files].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { case: "fileDescriptorResponse", value: { fileDescriptorProto } };
}

function notFound(what: string): Answer {
  return errorAnswer(GrpcStatus.NOT_FOUND, `the server has no ${what}`);
}

function errorAnswer(errorCode: number, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
