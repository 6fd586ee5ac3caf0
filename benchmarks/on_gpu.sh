#!/usr/bin/env bash
# A day with a GPU, in one command: tests that need CUDA, speed, adversarial training, the checkpoint in pieces.
#
#   benchmarks/on_gpu.sh prepare AUDIO [MIB]   here, before: packs MIB (30) of AUDIO and wheels into runs/gpu
#   benchmarks/on_gpu.sh MINUTES               there, with runs/gpu carried: all of it; results in $OUT
#   benchmarks/on_gpu.sh more FIRST            there, at once after: three more pieces of last.pt, from FIRST on
#
# Without CUDA it is a rehearsal: a small batch, made-up audio where none is packed, as long as it takes for tests and
# speed, and MINUTES / 4 of training: `benchmarks/on_gpu.sh 1` shows every part.
# Settings: PYTHON, OUT, WORK; TRAIN, more options of `rvq train` (say "--set decoder_only=true --batch 64");
# INIT, the .json or last.pt to begin with (the newest of weights/). No network is used but by prepare.
set -euo pipefail
cd "$(dirname "$0")/.."
CARRIED=runs/gpu
PIECE=16MiB      # what comes back is limited: 8 files, 16 MiB each, 64 MiB in all
PIECES_A_CALL=3
WHEELS=(soundfile soxr cffi pycparser) # what the lent machines' own Python lacks
export PYTHON="${PYTHON:-python3}" PYTHONUNBUFFERED=1
OUT="${OUT:-runs/gpu-out}"
WORK="${WORK:-/tmp/rvq-gpu}"

say() { echo "== $(date +%T) $*"; }

prepare() {
    local audio=$1 most=$(($2 * 1024 * 1024)) total=0 size wheel
    rm -rf "$CARRIED" && mkdir -p "$CARRIED/audio" "$CARRIED/wheels"
    while read -r file; do # the same choice every time, from all kinds
        size=$(stat -c %s "$file")
        if ((total + size <= most)); then
            cp "$file" "$CARRIED/audio/" && total=$((total + size))
        fi
    done < <(find "$audio" -type f -name '*.opus' | while read -r file; do
        echo "$(basename "$file" | md5sum | cut -c 1-32) $file"
    done | LC_ALL=C sort | cut -d ' ' -f 2-)
    PYTHONPATH=$PWD "$PYTHON" -m rvqcodec train pack "$CARRIED/audio" --to "$CARRIED/pieces" --piece "$PIECE"
    rm -r "$CARRIED/audio"
    local platforms=(manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64)
    for wheel in "${WHEELS[@]}"; do
        "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
            "${platforms[@]/#/--platform=}" -c constraints.txt -d "$CARRIED/wheels" "$wheel"
    done
    du -sh "$CARRIED"/*
}

set_up() { # packages that are missing, an rvq command, and no question on which device
    if ! "$PYTHON" -c 'import soundfile, soxr' 2>/dev/null; then
        "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
            --target "$WORK/site" "$CARRIED"/wheels/*.whl
    fi
    export PYTHONPATH="$PWD:$WORK/site${PYTHONPATH:+:$PYTHONPATH}"
    mkdir -p "$WORK/bin"
    printf '#!/bin/sh\nexec "%s" -m rvqcodec "$@"\n' "$(command -v "$PYTHON")" >"$WORK/bin/rvq"
    chmod +x "$WORK/bin/rvq"
    export PATH="$WORK/bin:$PATH"
    DEVICE=$("$PYTHON" -c 'import torch; print("cuda" if torch.cuda.is_available() else "cpu")')
    "$PYTHON" -c 'import sys, torch; print("Python", sys.version.split()[0], "torch", torch.__version__)'
    if [[ $DEVICE == cuda ]]; then nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader; fi
}

left() { echo $((END - $(date +%s))); } # seconds until training must stop

share() { if [[ $DEVICE == cpu ]]; then echo 120; else echo $(($(left) / $1)); fi; } # of the time left, a 1 / $1

part() { # part NAME SECONDS COMMAND...: goes on when it fails or takes too long
    local name=$1 seconds=$2 code=0
    shift 2
    say "$name, at most $seconds s"
    timeout --signal=INT --kill-after=10 "$seconds" "$@" || code=$?
    if ((code == 124)); then say "$name: stopped, out of time"; elif ((code)); then say "$name: FAILED ($code)"; fi
    SUMMARY+=("$name: $( ((code == 0)) && echo done || echo "code $code")")
}

audio() { # the packed recordings, or made-up ones, as a folder; decoded, so that training starts at once
    local list
    list=$(find "$CARRIED/pieces" -name '*.pieces.json' 2>/dev/null | head -n 1 || true)
    if [[ -d $WORK/audio ]]; then
        :
    elif [[ $list ]]; then
        rvq train unpack "$list" --to "$WORK"
    else
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

more() { # the next pieces of last.pt
    mkdir -p "$OUT"
    for ((i = $1; i < $1 + PIECES_A_CALL; i++)); do
        cp "$WORK/pieces/last.pt.tar.$(printf %04d "$i")" "$OUT/" 2>/dev/null || break
    done
    ls -l "$OUT"
}

everything() {
    local minutes=$1 reserve sections seconds small=() extra=() run=$WORK/run
    reserve=$((minutes >= 4 ? 60 : minutes * 15))
    END=$(($(date +%s) + minutes * 60 - reserve))
    SUMMARY=()
    rm -rf "$WORK" && mkdir -p "$WORK" "$OUT"
    set_up
    sections=processes,network seconds=60
    if [[ $DEVICE == cpu ]]; then
        say "no CUDA here: a rehearsal"
        sections=network seconds=1
        small=(--batch 2 --set sub_frames=28 --set log_every=1)
    fi
    part "audio" "$(share 4)" bash benchmarks/on_gpu.sh audio
    part "tests that need CUDA" "$(share 3)" \
        "$PYTHON" -m pytest -p no:cacheprovider tests/test_cuda.py tests/test_training_gpu_pool.py --durations=5
    part "speed" "$(share 3)" "$PYTHON" benchmarks/speed.py --device "$DEVICE" --seconds "$seconds" \
        --repeats 1 --only "$sections" --out "$OUT/speed.json"
    if [[ $DEVICE == cpu ]]; then END=$(($(date +%s) + minutes * 15)); fi
    read -ra extra <<<"${TRAIN:-}"
    local init=${INIT:-$(find weights -name '*.json' | sort -V | tail -n 1)} hours
    hours=$("$PYTHON" -c "print(max(1, $(left) - $(($(left) > 120 ? 20 : 5))) / 3600)") # loading takes the rest
    part "training" "$(($(left) + reserve / 3))" rvq train --data "$WORK/audio" --cache "$WORK/cache" --out "$run" \
        --init "$init" --stage adversarial --hours "$hours" --device "$DEVICE" --no-figures --quiet \
        "${small[@]}" "${extra[@]}"
    bring_back "$run"
}

bring_back() { # last.pt and the averaged weights in pieces; of last.pt the first one, `more` gives the others
    local run=$1
    printf '%s\n' "${SUMMARY[@]}"
    if [[ ! -e $run/last.pt ]]; then say "no checkpoint: training failed" && return 1; fi
    say "packing"
    tail -n 2 "$run/log.jsonl"
    rvq train export "$run" --model-id rvq-gpu --to "$WORK/model" --note "by=benchmarks/on_gpu.sh"
    cp "$run/log.jsonl" "$WORK/model/"
    rvq train pack "$WORK/model" --to "$OUT" --piece "$PIECE"
    rvq train pack "$run/last.pt" --to "$WORK/pieces" --piece "$PIECE"
    cp "$WORK/pieces/last.pt.pieces.json" "$WORK/pieces/last.pt.tar.0000" "$OUT/"
    say "last.pt is in $(find "$WORK/pieces" -name 'last.pt.tar.*' | wc -l) pieces, the first is in \$OUT; while the" \
        "machine is warm: benchmarks/on_gpu.sh more 1, more $((1 + PIECES_A_CALL)), ..."
    du -sh "$OUT"
}

case "${1:-}" in
    prepare) prepare "${2:?a folder of audio}" "${3:-30}" ;;
    more) more "${2:?the number of the first piece}" ;;
    audio) audio ;;
    [1-9] | [1-9][0-9])
        mkdir -p "$OUT"
        rm -f "$OUT"/{run.log,speed.json,model.*,last.pt.*}
        everything "$1" 2>&1 | tee "$OUT/run.log"
        ;;
    *) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0" && exit 2 ;;
esac
