#!/usr/bin/env bash
# A day with a GPU: tests that need CUDA, speed, then several runs of training side by side, their weights home.
#
#   benchmarks/on_gpu.sh prepare AUDIO [MIB [MIB]]   here, before: packs MIB (33) of AUDIO and wheels into runs/gpu, and
#                                                    the second MIB of what is left into runs/gpu-more
#   benchmarks/on_gpu.sh check SECONDS               there, with runs/gpu carried: audio, tests, speed
#   benchmarks/on_gpu.sh train SECONDS               there, at once after, with runs/gpu-more carried: the runs of RUNS
#   benchmarks/on_gpu.sh MINUTES                     there, with runs/gpu carried: both in one call
#   benchmarks/on_gpu.sh more FIRST                  there, at once after: three more pieces of last.pt, from FIRST on
#
# Results come in $OUT: of each run its log and the averaged weights of its decoder (float16), for `rvq train average`;
# `more` gives last.pt of the first run. What is carried and what comes back is limited (64 MiB), so `train` finds audio
# and weights where `check` left them on the same machine.
# Without CUDA it is a rehearsal: a small batch, made-up audio where none is packed: `benchmarks/on_gpu.sh 1` shows all.
# Settings: PYTHON, OUT, WORK; RUNS, a file with a line for each run, its name and options of `rvq train`;
# INIT, the .json or last.pt to begin with (the newest of weights/). No network is used but by prepare.
set -euo pipefail
cd "$(dirname "$0")/.."
CARRIED=runs/gpu
MORE=runs/gpu-more
LOADING=45 # seconds that a run takes beside training, and what comes after it
PIECE=16MiB # what comes back is limited: 8 files, 16 MiB each, 64 MiB in all
PIECES_A_CALL=3
WHEELS=(soundfile soxr cffi pycparser) # what the lent machines' own Python lacks
export PYTHON="${PYTHON:-python3}" PYTHONUNBUFFERED=1
OUT="${OUT:-runs/gpu-out}"
WORK="${WORK:-${TMPDIR:-/tmp}/rvq-gpu}" # `check`, `train` and `more` find one another by it

say() { echo "== $(date +%T) $*"; }

prepare() {
    local audio=$1 wheel
    rm -rf "$CARRIED" "$MORE" && mkdir -p "$CARRIED/wheels"
    chosen "$audio" 0 "$2" | packed "$CARRIED"
    if (($3)); then chosen "$audio" "$2" "$3" | packed "$MORE"; fi
    local platforms=(manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64)
    for wheel in "${WHEELS[@]}"; do
        "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
            "${platforms[@]/#/--platform=}" -c constraints.txt -d "$CARRIED/wheels" "$wheel"
    done
    du -sh "$CARRIED"/* "$MORE"/* 2>/dev/null || true
}

chosen() { # AUDIO SKIPPED MIB: files of all kinds, in an order that is the same every time, after so many MiB of them
    local size from=$(($2 * 1024 * 1024)) end=$((($2 + $3) * 1024 * 1024)) total=0
    while read -r file; do
        size=$(stat -L -c %s "$file")
        total=$((total + size))
        if ((total > from && total <= end)); then echo "$file"; fi
    done < <(find "$1" -type f -name '*.opus' | while read -r file; do
        echo "$(basename "$file" | md5sum | cut -c 1-32) $file"
    done | LC_ALL=C sort | cut -d ' ' -f 2-)
}

packed() { # FOLDER: the files that stdin names, as pieces in it
    mkdir -p "$1/audio"
    while read -r file; do cp "$file" "$1/audio/"; done
    PYTHONPATH=$PWD "$PYTHON" -m rvqcodec train pack "$1/audio" --to "$1/pieces" --piece "$PIECE"
    rm -r "$1/audio"
}

set_up() { # packages that are missing, an rvq command, and no question on which device
    mkdir -p "$WORK/bin" "$OUT"
    if ! "$PYTHON" -c 'import soundfile, soxr' 2>/dev/null && [[ ! -d $WORK/site ]]; then
        "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
            --target "$WORK/site" "$CARRIED"/wheels/*.whl
    fi
    export PYTHONPATH="$PWD:$WORK/site${PYTHONPATH:+:$PYTHONPATH}"
    printf '#!/bin/sh\nexec "%s" -m rvqcodec "$@"\n' "$(command -v "$PYTHON")" >"$WORK/bin/rvq"
    chmod +x "$WORK/bin/rvq"
    export PATH="$WORK/bin:$PATH"
    DEVICE=$("$PYTHON" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
    "$PYTHON" -c 'import sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__)'
    if [[ $DEVICE == cuda ]]; then
        nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader
    else
        say "no CUDA here: a rehearsal"
    fi
}

part() { # part NAME SECONDS COMMAND...: goes on when it fails or takes too long
    local name=$1 seconds=$2 code=0
    shift 2
    say "$name, at most $seconds s"
    timeout --signal=INT --kill-after=10 "$seconds" "$@" || code=$?
    if ((code == 124)); then say "$name: stopped, out of time"; elif ((code)); then say "$name: FAILED ($code)"; fi
}

audio() { # the packed recordings, or made-up ones, as a folder; decoded, so that training starts at once
    local folder
    for folder in "$CARRIED" "$MORE"; do
        if [[ -d $folder/pieces && ! -e $WORK/unpacked/$folder ]]; then
            rvq train unpack "$folder/pieces/audio.pieces.json" --to "$WORK/unpacked/$folder"
            mkdir -p "$WORK/audio" && mv -f "$WORK/unpacked/$folder"/audio/* "$WORK/audio/"
        fi
    done
    if [[ ! -d $WORK/audio ]]; then
        mkdir -p "$WORK/audio"
        "$PYTHON" benchmarks/recording.py "$WORK/audio/music-made.wav" --seconds 20
        "$PYTHON" benchmarks/recording.py "$WORK/audio/speech-made.wav" --seconds 21
    fi
    "$PYTHON" - "$WORK/audio" "$WORK/cache" <<'PY'
import sys
from pathlib import Path

from rvqcodec.training.data import build_cache

print(len(build_cache(Path(sys.argv[1]), Path(sys.argv[2]), 44100, warn=print)), "recordings decoded")
PY
}

check() { # SECONDS
    local sections=processes,network seconds=60 most=$(($1 / 2))
    if [[ $DEVICE == cpu ]]; then sections=network seconds=1 most=120; fi
    cp -r weights "$WORK/"
    part "audio" "$most" bash benchmarks/on_gpu.sh audio
    part "tests that need CUDA" "$most" \
        "$PYTHON" -m pytest -q -p no:cacheprovider tests/test_cuda.py tests/test_training_gpu_pool.py --durations=5
    part "speed" "$most" "$PYTHON" benchmarks/speed.py --device "$DEVICE" --seconds "$seconds" \
        --repeats 1 --only "$sections" --out "$OUT/speed.json"
}

train() { # SECONDS: all runs at the same time, each on its share of the GPU; then what they made
    local end=$(($(date +%s) + $1)) name options small=() names=() hours
    if [[ $DEVICE == cpu ]]; then small=(--batch 2 --set sub_frames=28 --set log_every=1); fi
    local init=${INIT:-$(find "$WORK/weights" -name '*.json' | sort -V | tail -n 1)}
    part "audio" "$(($1 / 2))" bash benchmarks/on_gpu.sh audio
    hours=$("$PYTHON" -c "print(max(5, $end - $(date +%s) - $(($1 > 120 ? LOADING : 5))) / 3600)")
    say "training for $hours hours"
    while read -r name options; do
        read -ra options <<<"$options"
        names+=("$name")
        rm -rf "${WORK:?}/$name"
        rvq train --data "$WORK/audio" --cache "$WORK/cache" --out "$WORK/$name" --init "$init" --hours "$hours" \
            --device "$DEVICE" --no-figures "${options[@]}" "${small[@]}" >"$WORK/$name.txt" 2>&1 &
    done <"${RUNS:-benchmarks/on_gpu.runs}"
    wait
    for name in "${names[@]}"; do
        tr '\r' '\n' <"$WORK/$name.txt" | tail -n 4
        bring_back "$name" || say "$name: no checkpoint, training failed"
    done
    rvq train pack "$WORK/${names[0]}/last.pt" --to "$WORK/pieces" --piece "$PIECE"
    du -sh "$OUT"
}

bring_back() { # NAME: log and decoder of a run
    tail -n 1 "$WORK/$1/log.jsonl"
    cp "$WORK/$1/log.jsonl" "$OUT/$1.jsonl"
    "$PYTHON" - "$WORK/$1/last.pt" "$OUT/$1.safetensors" <<'PY'
import sys

import torch
from safetensors.torch import save_file

average = torch.load(sys.argv[1], map_location="cpu", weights_only=True)["average"]
save_file({k: v.half().contiguous() for k, v in average.items() if k.startswith("decoder_")}, sys.argv[2])
PY
}

more() { # the next pieces of last.pt
    mkdir -p "$OUT"
    for ((i = $1; i < $1 + PIECES_A_CALL; i++)); do
        cp "$WORK/pieces/last.pt.tar.$(printf %04d "$i")" "$OUT/" 2>/dev/null || break
    done
    cp "$WORK/pieces/last.pt.pieces.json" "$OUT/"
    ls -l "$OUT"
}

logged() { # NAME COMMAND...: into $OUT/NAME.log as well
    local name=$1
    shift
    mkdir -p "$OUT"
    "$@" 2>&1 | tee "$OUT/$name.log"
}

ready() { set_up && "$@"; }

anew() { rm -rf "$WORK" && ready "$@"; }

both() { anew check $((60 * $1 / 3)) && train $((60 * $1 * 3 / 5)); }

case "${1:-}" in
    prepare) prepare "${2:?a folder of audio}" "${3:-33}" "${4:-0}" ;;
    more) more "${2:?the number of the first piece}" ;;
    audio) audio ;;
    check) logged check anew check "${2:?seconds}" ;;
    train) logged train ready train "${2:?seconds}" ;;
    [1-9] | [1-9][0-9]) logged run both "$1" ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" && exit 2 ;;
esac
