FROM rust:1.95-bookworm AS build
# The image has the toolchain; its file would fetch components that a build does not need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package shopify-token-operator --bin shopify-token-operator \
    && cp target/release/shopify-token-operator /shopify-token-operator

# glibc, certificate authorities and a user; no shell.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /shopify-token-operator /usr/local/bin/shopify-token-operator
USER 65532:65532
EXPOSE 8080 8081
ENTRYPOINT ["/usr/local/bin/shopify-token-operator"]
CMD ["run"]
