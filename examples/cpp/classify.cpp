// Asks a model of edge-mri about a binary PGM file: `classify model.onnx < in.pgm`.
// Build: g++ -std=c++17 classify.cpp -I ONNXRUNTIME/include -L ONNXRUNTIME/lib -lonnxruntime -o classify
// It prints the contract and the logits; docs/contract.md says how a record is made of them.
// For research, not for diagnosis.
#include <onnxruntime_cxx_api.h>

#include <iostream>
#include <string>

#include "preprocess.hpp"

int main(int, char** arguments) {
    Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "edge-mri");
    environment.DisableTelemetryEvents();
    Ort::Session session(environment, arguments[1], Ort::SessionOptions{});
    Ort::AllocatorWithDefaultOptions allocator;
    const auto contract = session.GetModelMetadata().LookupCustomMetadataMapAllocated("edge_mri.contract", allocator);
    if (!contract) {
        std::cerr << "no contract in the file\n";
        return 2;
    }
    std::cout << contract.get() << '\n';

    std::string magic;
    int width, height, most;
    std::cin >> magic >> width >> height >> most;
    std::cin.get();
    edge_mri::Grey image{width, height, std::vector<std::uint8_t>(std::size_t(width) * height)};
    std::cin.read(reinterpret_cast<char*>(image.pixels.data()), std::streamsize(image.pixels.size()));

    auto shape = session.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetShape();
    shape[0] = 1;  // N
    auto input = edge_mri::preprocess(image, int(shape[2]));
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    auto tensor = Ort::Value::CreateTensor<std::uint8_t>(memory, input.data(), input.size(), shape.data(), shape.size());
    const auto name = session.GetInputNameAllocated(0, allocator);
    const char* inputs[] = {name.get()};
    const char* outputs[] = {"logits"};
    auto answers = session.Run(Ort::RunOptions{}, inputs, &tensor, 1, outputs, 1);
    const float* logits = answers[0].GetTensorData<float>();
    for (std::size_t i = 0; i < answers[0].GetTensorTypeAndShapeInfo().GetElementCount(); ++i)
        std::cout << logits[i] << ' ';
    std::cout << '\n';
}
