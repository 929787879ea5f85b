// Templates of published models against what Python's jinja2 renders.
#include <fstream>
#include <map>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/rendering.h"
#include "support/test_data.h"

namespace reprise::test {
namespace {

using Json = nlohmann::ordered_json;

std::string content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    if (!file) throw std::runtime_error("cannot read " + path);
    return text.str();
}

/// Lines of "template case: what differs"; # begins a comment.
std::map<std::string, std::string> known_differences() {
    std::map<std::string, std::string> known;
    std::istringstream lines(content_of(REPRISE_KNOWN_DIFFERENCES));
    for (std::string line; std::getline(lines, line);) {
        if (line.empty() || line[0] == '#') continue;
        const size_t colon = line.find(": ");
        if (colon == std::string::npos) throw std::runtime_error("known differences: no reason in: " + line);
        known[line.substr(0, colon)] = line.substr(colon + 2);
    }
    return known;
}

TEST(TextTemplateCases, RendersAreThoseOfJinja2ButForKnownDifferences) {
    TEST_DATA_OR_SKIP(folder, "templates");
    const Json cases = Json::parse(content_of(folder + "/cases.json"));
    const auto known = known_differences();
    std::set<std::string> differing;
    size_t n = 0;
    for (const Json& render : cases["renders"]) {
        const std::string name = render["template"].get<std::string>() + " " + render["case"].get<std::string>();
        SCOPED_TRACE(name);
        Json variables = cases["inputs"]["cases"][render["case"].get<std::string>()];
        for (const char* key : {"bos_token", "eos_token", "date_string"}) variables[key] = cases["inputs"][key];
        variables["strftime_now"] = cases["inputs"]["date_string"];
        const ChatTemplate chat_template(content_of(folder + "/" + render["template"].get<std::string>()));
        ASSERT_EQ(REPRISE_OK, chat_template.status()) << last_error();
        Rendered rendered;
        const reprise_status status = chat_template.render(variables.dump(), rendered);
        ++n;
        std::string difference;
        if (render.contains("error")) {
            if (status != REPRISE_TEMPLATE) difference = "no error where jinja2 has one: " + render["error"].dump();
        } else if (status != REPRISE_OK) {
            difference = "fails in line " + std::to_string(reprise_last_error_line()) + ": " + last_error();
        } else if (rendered.text != render["expected"].get<std::string>()) {
            difference = "renders\n" + rendered.text + "\ninstead of\n" + render["expected"].get<std::string>();
        }
        if (!difference.empty()) differing.insert(name);
        EXPECT_EQ(!difference.empty(), known.contains(name)) << difference;
    }
    for (const auto& [name, reason] : known) EXPECT_TRUE(differing.contains(name)) << name << ": " << reason;
    EXPECT_LE(differing.size() * 100, n);
    EXPECT_LT(0u, n);
}

}  // namespace
}  // namespace reprise::test
