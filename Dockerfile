# docker build -t actbench .                                   CUDA, as PyPI's torch has it; then `docker run --gpus all`
# docker build -t actbench --build-arg TORCH_INDEX=ADDRESS .   another build of torch, such as the one without CUDA
# docker run -v "$PWD/results:/work/results" actbench          the main job; arguments take its place: `actbench methods`
FROM python:3.11-slim

# The index that torch is taken from, as PyTorch's page of installation names it for a processor or a version of CUDA.
ARG TORCH_INDEX=
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "torch>=2.7,<2.14" "torchvision>=0.22"

COPY . /source
RUN pip install --no-cache-dir "/source[cluster]" && rm -r /source

# What is measured is no root's: the folder of results has to be writable by this user, or say `--user "$(id -u)"`.
RUN useradd --create-home actbench && install -d -m 777 /work /work/results
USER actbench
WORKDIR /work
ENV HOME=/tmp NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

ENTRYPOINT ["actbench"]
CMD ["run", "--methods", "all"]
