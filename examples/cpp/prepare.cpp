// Prints the network's input of a binary PGM file: `prepare SIZE < in.pgm > out.raw`.
#include <iostream>
#include <string>

#include "preprocess.hpp"

int main(int, char** arguments) {
    std::string magic;
    int width, height, most;
    std::cin >> magic >> width >> height >> most;
    std::cin.get();
    if (magic != "P5" || most != 255 || !std::cin) {
        std::cerr << "expected a binary PGM file of 8 bits\n";
        return 2;
    }
    edge_mri::Grey image{width, height, std::vector<std::uint8_t>(std::size_t(width) * height)};
    std::cin.read(reinterpret_cast<char*>(image.pixels.data()), std::streamsize(image.pixels.size()));
    const auto input = edge_mri::preprocess(image, std::stoi(arguments[1]));
    std::cout.write(reinterpret_cast<const char*>(input.data()), std::streamsize(input.size()));
}
