# syntax=docker/dockerfile:1
# One binary on an image without shell or package manager. Build: docker build -t certwright .
FROM rust:1.95.0-slim-bookworm AS build
# aws-lc (C and assembler) is built by the compiler here; cmake and clang only where its own build asks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends clang cmake make \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# Packed, the places that are filled in at the start take 10 kB and not 600, all of them resident. It needs glibc
# 2.36, which the image below has.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo rustc --release --locked --package certwright --bin certwright -- \
        -C link-arg=-Wl,-z,pack-relative-relocs \
    && cp target/release/certwright /certwright

# glibc, libgcc and the root certificates, nothing else. Same Debian release as above.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /certwright /certwright
# By number, so that runAsNonRoot can be checked.
USER 65532:65532
# HTTP-01 challenges, metrics, health.
EXPOSE 8089 9402 9403
ENTRYPOINT ["/certwright"]
CMD ["controller"]
