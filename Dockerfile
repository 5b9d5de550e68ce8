# The static binary and nothing else.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
# docker build --build-arg REVISION=$(git rev-parse HEAD), as .git is not copied.
ARG REVISION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X flowbridge/cmd/flowbridge/cli.version=${VERSION} -X flowbridge/cmd/flowbridge/cli.revision=${REVISION}" -o /flowbridge ./cmd/flowbridge
RUN mkdir /data

FROM scratch
COPY --from=build /flowbridge /flowbridge
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=65532:65532 /data /data
COPY --from=build --chown=65532:65532 /data /tmp
USER 65532:65532
WORKDIR /data
VOLUME /data
HEALTHCHECK --interval=10s --timeout=5s CMD ["/flowbridge", "healthcheck"]
ENTRYPOINT ["/flowbridge"]
CMD ["serve", "--config", "/etc/flowbridge/flowbridge.yaml"]
