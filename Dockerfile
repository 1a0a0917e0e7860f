# The project on Astro Runtime, for `astro dev start` and Astro deployments; at home, `make run` needs no container.
# Written without a container engine at hand: the steps follow Astronomer's documentation and were not yet built.
#
# The -base image, because the other one installs requirements.txt by itself, and there the pinned apache-airflow
# would meet the Airflow that the image brings.
FROM astrocrpublic.azurecr.io/runtime:3.3-7-base

USER root
COPY packages.txt .
RUN packages="$(grep -v '^#' packages.txt || true)" \
    && if [ -n "$packages" ]; then \
        apt-get update && apt-get install --yes --no-install-recommends $packages && rm -rf /var/lib/apt/lists/*; \
    fi
USER astro

# The same lock as everywhere else, without Airflow itself. --no-deps: a lock is complete, nothing is solved again.
COPY --chown=astro:0 requirements.lock .
RUN grep -vE '^apache-airflow(-core|-task-sdk)?==' requirements.lock > /tmp/requirements.lock \
    && pip install --no-cache-dir --no-deps --requirement /tmp/requirements.lock \
    && rm /tmp/requirements.lock

COPY --chown=astro:0 . .
# The command `carm`, to fill a source and to look into what the months left.
RUN pip install --no-cache-dir --no-deps .

# `from include...` works in Dags and tasks alike. The data folder must outlive the container: mount a volume there.
ENV PYTHONPATH=/usr/local/airflow \
    CARM_DATA=/usr/local/airflow/data
