# Sourced by what needs a small study.

# put_study FILE CORPUS FOLDS EPOCHS: two cells. CORPUS: "manifest = FILE" or "embedded = SPEAKERS SENTENCES".
put_study() {
    cat >"$1" <<TEXT
[study]
question = Wide or narrow?
[corpus made]
$2
folds = $3
[settings]
features.mels = 8
patch.seconds = 0.16
train.batch = 4
train.epochs = $4
[axis width]
setting = net.width
values = 2, 3
[compare wide]
difference = width=3 - width=2
TEXT
}
