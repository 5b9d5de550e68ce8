# Sourced by package, image and release: the version, and how the binary is built. VERSION_ARG is the caller's argument, or
# empty; `program` its name. DIST is where files go.
DIST=${DIST:-dist}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || date +%s)}
export SOURCE_DATE_EPOCH

# The version of the newest heading in CHANGELOG.md, at the commit that wrote it; at another one with that commit's name. Before
# the first heading 0.0, the commit's time and its name.
described() {
  local commit newest
  commit=$(git rev-parse HEAD 2> /dev/null || true)
  newest=$(sed -n 's/^## \[\([0-9][A-Za-z0-9.~]*\)\].*/\1/p' CHANGELOG.md | head -1)
  if [ -z "$newest" ]; then
    echo "0.0~git$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S)${commit:+.${commit:0:7}}"
  elif [ "$(git rev-parse --is-shallow-repository 2> /dev/null)" = false ] &&
    [ "$(git log -1 --format=%H -S"## [$newest]" -- CHANGELOG.md)" = "$commit" ]; then
    echo "$newest"
  else
    echo "$newest${commit:++${commit:0:7}}"
  fi
}
version=${VERSION_ARG:-$(described)}
[[ $version =~ ^[0-9][A-Za-z0-9.+~]*$ ]] || { echo "$program: $version is not a Debian version: write one like 1.2.3" >&2; exit 2; }
revision=$(git rev-parse HEAD 2> /dev/null || true)

# build ARCH FILE
build() {
  CGO_ENABLED=0 GOARCH=$1 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X flowbridge/cmd/flowbridge/cli.version=$version -X flowbridge/cmd/flowbridge/cli.revision=$revision" \
    -o "$2" ./cmd/flowbridge
}

# sbom BINARY FILE: the modules that a binary is made of, as CycloneDX. Its time is the commit's.
sbom() {
  go run -trimpath github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0 \
    bin -json -noserial -std -version "v${version//[+~]/-}" "$1" 2> "$2.log" > "$2" || { cat "$2.log" >&2; return 1; }
  sed -i "s/\"timestamp\": \"[^\"]*\"/\"timestamp\": \"$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)\"/" "$2"
}
