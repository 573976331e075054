# `make image` builds this: Ottla as one program on a slim Node, for a user without rights, on a root file system that nobody writes to.
ARG BASE=docker.io/library/node:26-slim

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN make bundle

FROM ${BASE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Ottla" \
      org.opencontainers.image.description="An event-streaming platform of the Apache Kafka kind" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /src/dist/bundle /opt/ottla
# The first run leaves compiled code behind, which halves later starts.
RUN ln -s /opt/ottla/bin/ottla /usr/local/bin/ottla \
 && groupadd --gid 10001 ottla && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin ottla \
 && install -d -o 10001 -g 10001 /var/lib/ottla \
 && ottla --version && ottla serve --help >/dev/null
ENV OTTLA_DATA_DIR=/var/lib/ottla \
    OTTLA_LISTEN=0.0.0.0 \
    OTTLA_LOG_FORMAT=json
USER 10001:10001
VOLUME /var/lib/ottla
EXPOSE 9092 50051 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["ottla", "serve"]
