# docker build -t actbench .                            a processor
# docker build -t actbench --build-arg TORCH=cu126 .    CUDA; then `docker run --gpus all`
# docker run -v "$PWD/results:/work/results" actbench   the main job; arguments take its place: `actbench methods`
FROM python:3.11-slim

# The folder of PyTorch's index: `cpu`, or a version of CUDA, which comes with torch.
ARG TORCH=cpu
RUN pip install --no-cache-dir --index-url "https://download.pytorch.org/whl/${TORCH}" "torch>=2.7,<2.14" "torchvision>=0.22"

COPY . /source
RUN pip install --no-cache-dir "/source[cluster]" && rm -r /source

# What is measured is no root's: the folder of results has to be writable by this user, or say `--user "$(id -u)"`.
RUN useradd --create-home actbench && install -d -m 777 /work /work/results
USER actbench
WORKDIR /work
ENV HOME=/tmp NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

ENTRYPOINT ["actbench"]
CMD ["run", "--methods", "all"]
