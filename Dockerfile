# The same steps as `make run`, in an image. Not built by the project's own tests.
FROM python:3.11-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends make npm \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home dadeum
WORKDIR /app
RUN chown dadeum /app
USER dadeum

ENV DADEUM_DATA=/app/data
COPY --chown=dadeum Makefile requirements.txt constraints.txt package.json package-lock.json ./
RUN make .stamps/packages

COPY --chown=dadeum . .
RUN make setup && rm -rf node_modules data/dadeum.sqlite3* data/secret_key

ENV DADEUM_HOST=0.0.0.0
EXPOSE 8000
VOLUME /app/data
CMD ["make", "run"]
