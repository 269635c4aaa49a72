// The preprocessing of a model of edge-mri, as docs/contract.md describes it. No dependencies.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace edge_mri {

struct Grey {
    int width, height;
    std::vector<std::uint8_t> pixels;  // row by row, 0 black
};

using Taps = std::vector<std::vector<std::pair<int, double>>>;

// For each output pixel of one axis: which input pixels, with which weights.
inline Taps area(int from, int to) {
    Taps taps(to);
    const double scale = double(from) / to;
    for (int i = 0; i < to; ++i)
        for (int j = int(i * scale); j < std::min(int(std::ceil((i + 1) * scale)), from); ++j)
            taps[i].push_back({j, (std::min((i + 1) * scale, j + 1.0) - std::max(i * scale, double(j))) / scale});
    return taps;
}

inline Taps linear(int from, int to) {
    Taps taps(to);
    for (int i = 0; i < to; ++i) {
        const double at = std::clamp((i + 0.5) * from / to - 0.5, 0.0, from - 1.0);
        const int low = int(at);
        taps[i] = {{low, 1 - (at - low)}, {std::min(low + 1, from - 1), at - low}};
    }
    return taps;
}

inline Grey resized(const Grey& image, const Taps& across, const Taps& down) {
    const int width = int(across.size()), height = int(down.size());
    std::vector<double> rows(std::size_t(width) * image.height);
    for (int y = 0; y < image.height; ++y)
        for (int x = 0; x < width; ++x)
            for (auto [j, weight] : across[x])
                rows[std::size_t(y) * width + x] += weight * image.pixels[std::size_t(y) * image.width + j];
    Grey out{width, height, std::vector<std::uint8_t>(std::size_t(width) * height)};
    for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
            double sum = 0;
            for (auto [j, weight] : down[y]) sum += weight * rows[std::size_t(j) * width + x];
            out.pixels[std::size_t(y) * width + x] = std::uint8_t(std::lround(sum));
        }
    return out;
}

// S x S pixels: the tensor `uint8 [1, 1, S, S]`.
inline std::vector<std::uint8_t> preprocess(Grey image, int size) {
    const int width = image.width, height = image.height, longer = std::max(width, height);
    int shrink = 1;
    while (longer / (2 * shrink) >= size) shrink *= 2;
    if (shrink > 1)
        image = resized(image, area(width, std::max(width / shrink, 1)), area(height, std::max(height / shrink, 1)));
    const auto fitted = [&](int side) { return std::max(int(std::nearbyint(double(side) * size / longer)), 1); };
    if (image.width != fitted(width) || image.height != fitted(height))
        image = resized(image, linear(image.width, fitted(width)), linear(image.height, fitted(height)));
    std::vector<std::uint8_t> canvas(std::size_t(size) * size);
    const int left = (size - image.width) / 2, top = (size - image.height) / 2;
    for (int y = 0; y < image.height; ++y)
        std::copy_n(&image.pixels[std::size_t(y) * image.width], image.width, &canvas[std::size_t(top + y) * size + left]);
    return canvas;
}

}  // namespace edge_mri
