/* make_audio FILE RATE CHANNELS SECONDS: a tone with an envelope, in the format of the file's ending. For cli.sh. */
#include <math.h>
#include <sndfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *ending;
    int format;
} formats[] = {
    {".wav", SF_FORMAT_WAV | SF_FORMAT_PCM_16},  {".24.wav", SF_FORMAT_WAV | SF_FORMAT_PCM_24},
    {".f.wav", SF_FORMAT_WAV | SF_FORMAT_FLOAT}, {".flac", SF_FORMAT_FLAC | SF_FORMAT_PCM_16},
    {".ogg", SF_FORMAT_OGG | SF_FORMAT_VORBIS},  {".aiff", SF_FORMAT_AIFF | SF_FORMAT_PCM_16},
    {".au", SF_FORMAT_AU | SF_FORMAT_ULAW},      {".mp3", 0x230000 | 0x0082}, /* MPEG layer III, of libsndfile 1.1 */
};

/* The last ending that fits; 0: none does. */
static int format_of(const char *path)
{
    int format = 0;
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        size_t n = strlen(formats[i].ending), all = strlen(path);
        if (all > n && strcmp(path + all - n, formats[i].ending) == 0) format = formats[i].format;
    }
    return format;
}

/* 0 done, 1 failed, 77 where this libsndfile does not write the format. */
int main(int argc, char **argv)
{
    if (argc != 5) {
        fputs("usage: make_audio FILE RATE CHANNELS SECONDS\n", stderr);
        return 1;
    }
    int rate = atoi(argv[2]), channels = atoi(argv[3]);
    SF_INFO info = {.samplerate = rate, .channels = channels, .format = format_of(argv[1])};
    long frames = lround(atof(argv[4]) * rate);
    if (!sf_format_check(&info)) return 77;
    SNDFILE *f = sf_open(argv[1], SFM_WRITE, &info);
    float *frame = calloc((size_t)channels, sizeof *frame);
    for (long t = 0; f && frame && t < frames; t++) {
        double seconds = (double)t / rate;
        double x = 0.3 * sin(1000 * seconds) * (1.2 + sin(25 * seconds)) + 0.1 * sin(4000 * seconds);
        for (int c = 0; c < channels; c++) frame[c] = (float)x;
        if (sf_writef_float(f, frame, 1) != 1) frames = 0;
    }
    free(frame);
    return f && frames > 0 && sf_close(f) == 0 ? 0 : 1;
}
