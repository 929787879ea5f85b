// Constraints: what they allow, what is refused, matchers, limits.
#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "session/constraint.h"
#include "support/expect_error.h"
#include "support/vocabulary.h"

namespace reprise::test {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto SCHEMA = REPRISE_CONSTRAINT_JSON_SCHEMA;
constexpr auto REGEX = REPRISE_CONSTRAINT_REGEX;
constexpr auto LARK = REPRISE_CONSTRAINT_LARK;
constexpr auto GBNF = REPRISE_CONSTRAINT_GBNF;

struct Texts {
    reprise_constraint_kind kind;
    std::string source;
    std::vector<std::string> allowed;
    std::vector<std::string> refused;
};

TEST(TextConstraint, OnlyWhatTheSourceAllowsIsAllowed) {
    const std::string json = R"(
root   ::= value
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}  # optional space
)";
    const Texts all[] = {
        {SCHEMA,
         R"({"type": "object", "properties": {"a": {"type": "integer", "maximum": 20}, "b": {"enum": ["é\"", null]}},
             "required": ["a"], "additionalProperties": false})",
         {R"({"a":7})", R"({"a":-20,"b":null})", R"({"a":1,"b":"é\""})"},
         {"{}", R"({"a":21})", R"({"a": 1})", R"({"b":null,"a":1})", R"({"a":1,"c":1})", R"({"a":1}x)", "[]"}},
        {SCHEMA,
         R"({"$ref": "#/$defs/t", "$defs": {"t": {"type": "array", "items": {"$ref": "#/$defs/t"}}}})",
         {"[]", "[[],[[]]]"},
         {"[", "[1]", "[[]"}},
        {SCHEMA,
         R"({"type": "string", "format": "date"})",
         {"\"2024-02-29\"", "\"1999-12-31\""},
         {"\"2023-02-29\"", "\"1900-02-29\"", "\"2024-13-01\"", "\"2024-04-31\""}},
        {SCHEMA,
         R"({"type": "string", "format": "date-time", "pattern": "Z$"})",
         {"\"2000-02-29T23:59:59Z\""},
         {"\"2000-02-29T23:59:60Z\"", "\"2000-02-29T23:59:59+01:00\""}},
        {SCHEMA, "true", {"1", "\"\\n\"", "{\"a\":[null,{}]}"}, {"", "01", "{a:1}", "{\"a\": 1}", "\"\\u0000\""}},
        {REGEX, "a+b{2,3}|é", {"abb", "aabbb", "é"}, {"", "ab", "abbbb", "xabb"}},
        {LARK, "start: item+\nitem: \"- \" /[^\\n]+/ \"\\n\"", {"- a\n", "- a\n- b c\n"}, {"", "- \n", "a"}},
        {GBNF,
         json,
         {R"({"a": [1, 2.5e3, true, {"b": "x\n\u00e9"}], "c": null})", "[[]]", "\"\"", "12 "},
         {"", "{a:1}", "[1,]", "\"\n\"", "01"}},
        {GBNF, "root ::= \"yes\" | \"no\" | [a-c]{2} \"x\"?", {"yes", "no", "ab", "abx"}, {"ye", "yesno", "a", "abcx"}},
        {GBNF, "root ::= [a-z]+ \"x\"", {"ax", "xx", "axbx"}, {"x", "a"}},  // a class that runs into what follows
        {GBNF,
         "root ::= expr\nexpr ::= expr \"+\" term | term\nterm ::= [0-9]+ | \"(\" expr \")\"",
         {"1", "1+23", "(1+2)+(3)"},
         {"", "+1", "(1", "1+"}},
        {GBNF, "root ::= \"a\" root \"a\" | b\nb ::= \"b\"", {"b", "aba", "aabaa"}, {"", "a", "aab", "abaa"}},
        {GBNF, "root ::= .{2} [^é]", {"日本語", "\n\na"}, {"日本", "abé", "ab"}},
        {GBNF, "root ::= \"\"", {""}, {"a"}},
    };
    const Vocabulary vocabulary;
    for (const Texts& texts : all) {
        SCOPED_TRACE(texts.source);
        const OpenConstraint constraint(vocabulary, texts.kind, texts.source);
        ASSERT_EQ(REPRISE_OK, constraint.status()) << last_error();
        for (const std::string& text : texts.allowed) EXPECT_TRUE(constraint.accepts(text)) << text;
        for (const std::string& text : texts.refused) EXPECT_FALSE(constraint.accepts(text)) << text;
    }
}

TEST(TextConstraint, JsonHasWhiteSpaceWhereItIsAskedFor) {
    const Vocabulary vocabulary;
    const OpenConstraint constraint(vocabulary, SCHEMA, R"({"type": "array", "items": {"type": "integer"}})", true);
    EXPECT_TRUE(constraint.accepts("[ 1 ,\n2]") && constraint.accepts("[1,2]"));
}

TEST(TextConstraint, SpecialTokensComeWhereAGrammarNamesThemAndNeverByTheirText) {
    const Vocabulary vocabulary;
    const int32_t tool = vocabulary.end() + 1;
    const int32_t inst = vocabulary.end() + 2;
    const std::string by_id = "<[" + std::to_string(inst) + "]>";
    for (const auto& [kind, source] :
         {std::pair{LARK, "start: <|tool|> \"x\" " + by_id}, std::pair{GBNF, "root ::= <|tool|> \"x\" " + by_id}}) {
        const OpenConstraint constraint(vocabulary, kind, source);
        ASSERT_EQ(REPRISE_OK, constraint.status()) << last_error();
        const auto walk = constraint.walk({tool, 'x', inst});
        EXPECT_EQ(3u, walk.n_allowed);
        EXPECT_EQ(REPRISE_CONSTRAINT_ENDED, walk.state);
        EXPECT_FALSE(constraint.accepts("<|tool|>x[INST]"));
    }
    const OpenConstraint text(vocabulary, REGEX, ".*");
    for (const int32_t special : {tool, inst}) EXPECT_FALSE(in_mask(text.walk({}).mask, special));
    EXPECT_TRUE(text.accepts("<|tool|>"));
}

TEST(TextConstraint, MasksAreWhatIsAllowedToComeNext) {
    const Vocabulary vocabulary({"12", "true", "{\"a\":", "}}"});
    const OpenConstraint constraint(vocabulary, SCHEMA,
                                    R"({"type": "object", "properties": {"a": {"type": "boolean"}},
                                        "required": ["a"], "additionalProperties": false})");
    const auto allowed = [&](const Ids& ids) {
        const auto mask = constraint.walk(ids).mask;
        std::string texts;
        for (int32_t id = 0; id < vocabulary.n_vocab(); ++id) {
            if (in_mask(mask, id)) texts += (texts.empty() ? "" : " ") + vocabulary.token(id);
        }
        for (int32_t id = vocabulary.n_vocab(); id < static_cast<int32_t>(mask.size() * 32); ++id) {
            EXPECT_FALSE(in_mask(mask, id));
        }
        return texts;
    };
    EXPECT_EQ("{ {\"a\":", allowed({}));
    EXPECT_EQ("f t true", allowed({258}));
    EXPECT_EQ("}", allowed({258, 257}));
    EXPECT_EQ("<|end|>", allowed({258, 257, '}'}));
    EXPECT_EQ("<|end|>", allowed({258, 257, '}', vocabulary.end()}));
}

TEST(TextConstraint, MatchersGoOnAloneAndCopiesApart) {
    const Vocabulary vocabulary;
    auto matcher = [&] {
        const OpenConstraint constraint(vocabulary, REGEX, "ab*c?");
        return make_constraint(constraint.handle());
    }();  // outlives the constraint
    matcher->accept('a');
    EXPECT_TRUE(matcher->complete());
    const auto copy = matcher->clone();
    copy->accept('c');
    EXPECT_TRUE(copy->complete());
    std::vector<uint32_t> mask(vocabulary.n_words());
    copy->mask(mask);
    EXPECT_TRUE(in_mask(mask, vocabulary.end()) && !in_mask(mask, 'b'));
    matcher->mask(mask);
    EXPECT_TRUE(in_mask(mask, 'b') && in_mask(mask, 'c') && in_mask(mask, vocabulary.end()));
    matcher->accept('b');
    matcher->accept('b');
    expect_error(REPRISE_INVALID_ARGUMENT, {"token 97"}, [&] { matcher->accept('a'); });
    matcher->accept('c');  // a token that is not allowed changes nothing
    expect_error(REPRISE_INVALID_ARGUMENT, {"words"}, [&] { matcher->mask(std::span<uint32_t>(mask).first(1)); });
    expect_error(REPRISE_INVALID_ARGUMENT, {"token 100000"}, [&] { matcher->accept(100000); });
    expect_error(REPRISE_INVALID_ARGUMENT, {"token -1"}, [&] { matcher->accept(-1); });
    matcher->accept(vocabulary.end());
    EXPECT_TRUE(matcher->complete());
    expect_error(REPRISE_INVALID_HANDLE, {"constraint", "null"}, [] { make_constraint(0); });
    expect_error(REPRISE_INVALID_HANDLE, {"vocabulary", "constraint"}, [&] { make_constraint(vocabulary.handle()); });
}

TEST(TextConstraint, WhatIsNotSupportedOrMalformedIsRefusedByName) {
    struct Case {
        reprise_constraint_kind kind;
        const char* source;
        reprise_status status;
        const char* part;
        int32_t line = 0;
    };
    std::string nested = "{}";
    for (int depth = 0; depth < 128; ++depth) nested = "{\"items\":" + nested + "}";
    const Vocabulary vocabulary;
    for (const Case& refused : std::initializer_list<Case>{
             {SCHEMA, R"({"not": {}})", REPRISE_UNSUPPORTED, "not"},
             {SCHEMA, R"({"type": "array", "uniqueItems": true})", REPRISE_UNSUPPORTED, "uniqueItems"},
             {SCHEMA, R"({"if": {}, "then": {}})", REPRISE_UNSUPPORTED, "if, then"},
             {SCHEMA, R"({"contains": {"type": "integer"}})", REPRISE_UNSUPPORTED, "contains"},
             {SCHEMA, R"({"dependentRequired": {"a": ["b"]}})", REPRISE_UNSUPPORTED, "dependentRequired"},
             {SCHEMA, R"({"unevaluatedProperties": false})", REPRISE_UNSUPPORTED, "unevaluatedProperties"},
             {SCHEMA, R"({"propertyNames": {"maxLength": 2}})", REPRISE_UNSUPPORTED, "propertyNames"},
             {SCHEMA, R"({"oneOf": [{"type": "integer"}, {"minimum": 2}]})", REPRISE_UNSUPPORTED, "oneOf"},
             {SCHEMA, R"({"type": "string", "format": "iri"})", REPRISE_UNSUPPORTED, "format iri"},
             {SCHEMA, R"({"type": "string", "pattern": "(?=a)b"})", REPRISE_UNSUPPORTED, "look-around"},
             {SCHEMA, R"({"$ref": "http://example.org/x"})", REPRISE_UNSUPPORTED, "$ref"},
             {SCHEMA, R"({"x-guidance": {"lenient": true}})", REPRISE_UNSUPPORTED, "x-guidance"},
             {SCHEMA, R"({"type": "strin"})", REPRISE_INVALID_ARGUMENT, "strin"},
             {SCHEMA, R"({"$ref": "#/x"})", REPRISE_INVALID_ARGUMENT, "#/x"},
             {SCHEMA, R"({"enum": []})", REPRISE_INVALID_ARGUMENT, ""},
             {SCHEMA, R"({"$ref": "#"})", REPRISE_INVALID_ARGUMENT, "allows no text"},
             {SCHEMA, "false", REPRISE_INVALID_ARGUMENT, "false"},
             {SCHEMA, R"({"minLenght": 2})", REPRISE_UNSUPPORTED, "the keyword minLenght, in #"},
             {SCHEMA, R"({"properties": {"a": {"nullable": true}}})", REPRISE_UNSUPPORTED,
              "nullable, in #/properties/a"},
             {SCHEMA, R"({"$dynamicRef": "#x"})", REPRISE_UNSUPPORTED, "$dynamicRef"},
             {SCHEMA, R"({"dependentSchemas": {"a": {}}})", REPRISE_UNSUPPORTED, "dependentSchemas"},
             {SCHEMA, R"({"items": {"$id": "x"}})", REPRISE_UNSUPPORTED, "$id, in #/items"},
             {SCHEMA, R"({"type": "object", "minProperties": 1})", REPRISE_UNSUPPORTED, "minProperties"},
             {SCHEMA, R"({"patternProperties": {"a": {}, "b": {}}})", REPRISE_UNSUPPORTED, ""},
             {SCHEMA, R"({"prefixItems": [{}], "additionalItems": false})", REPRISE_UNSUPPORTED, "additionalItems"},
             {SCHEMA, R"({"const": [9007199254740993]})", REPRISE_UNSUPPORTED, "9007199254740993"},
             {SCHEMA, R"({"minimum": 0.12345678901234567})", REPRISE_UNSUPPORTED, "minimum in #"},
             {SCHEMA, R"({"format": "unknown"})", REPRISE_UNSUPPORTED, "format unknown"},
             {SCHEMA, R"({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {}}})", REPRISE_UNSUPPORTED, "a~1b"},
             {SCHEMA, R"({"$ref": "#/default", "default": {}})", REPRISE_INVALID_ARGUMENT, "there is no schema"},
             {SCHEMA, R"({"properties": "ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé"})",
              REPRISE_INVALID_ARGUMENT, "no object of schemas"},
             {SCHEMA, R"({"minLength": "ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé"})",
              REPRISE_INVALID_ARGUMENT, "minLength, in #"},
             {SCHEMA, R"({"exclusiveMinimum": true})", REPRISE_INVALID_ARGUMENT, "not a number"},
             {SCHEMA, "[]", REPRISE_INVALID_ARGUMENT, "neither an object nor a boolean"},
             {SCHEMA, "{\n\"a\"", REPRISE_INVALID_ARGUMENT, "not JSON", 2},
             {SCHEMA, nested.c_str(), REPRISE_UNSUPPORTED, "128 deep", 1},
             {REGEX, "a(", REPRISE_INVALID_ARGUMENT, "unclosed group"},
             {REGEX, "(?<!a)b", REPRISE_UNSUPPORTED, "look-around"},
             {LARK, "start: x", REPRISE_INVALID_ARGUMENT, "unknown name", 1},
             {LARK, "start: \"x\"\ny: \"", REPRISE_INVALID_ARGUMENT, "lexer error", 2},
             {LARK, "start: <|none|>", REPRISE_INVALID_ARGUMENT, "<|none|>", 1},
             {LARK, "start: x\nx: %json {\"not\": {}}", REPRISE_UNSUPPORTED, "the keyword not, in #", 2},
             {LARK, "start: %json {\"x-guidance\": {\"lenient\": true}}", REPRISE_UNSUPPORTED, "x-guidance", 1},
             {GBNF, "root ::= x", REPRISE_INVALID_ARGUMENT, "'x' is not defined"},
             {GBNF, "root ::= \"a\"\n  b", REPRISE_INVALID_ARGUMENT, "'::='", 2},
             {GBNF, "root ::= <|none|>", REPRISE_INVALID_ARGUMENT, "<|none|>"},
             {static_cast<reprise_constraint_kind>(7), "", REPRISE_INVALID_ARGUMENT, "kind 7"},
         }) {
        const OpenConstraint constraint(vocabulary, refused.kind, refused.source);
        SCOPED_TRACE(refused.source);
        expect_status(refused.status, constraint.status(), {refused.part});
        EXPECT_EQ(refused.line, reprise_last_error_line()) << last_error();
        EXPECT_EQ(0u, constraint.handle());
    }
}

TEST(TextConstraint, AnnotationsAreNoConstraints) {
    const Vocabulary vocabulary;
    const OpenConstraint constraint(vocabulary, SCHEMA, R"({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.org/a", "title": "a",
        "description": "b", "$comment": "c", "default": 5, "examples": [6], "deprecated": false, "readOnly": true,
        "x-order": 1, "allOf": [{"$schema": "http://json-schema.org/draft-07/schema#"}], "type": "integer",
        "maximum": 9})");
    ASSERT_EQ(REPRISE_OK, constraint.status()) << last_error();
    EXPECT_TRUE(constraint.accepts("7"));
    EXPECT_FALSE(constraint.accepts("10"));
}

TEST(TextConstraint, WhatValidatorsTakeDifferentlyIsLeftOut) {
    struct Case {
        const char* schema;
        const char* accepted;
        const char* refused;
    };
    const Vocabulary vocabulary;
    for (const Case& each : std::initializer_list<Case>{
             // Spelled with an escape a key would be that of the schema, whose value it need not have.
             {R"({"properties": {"a": {"type": "integer"}}})", R"({"a":1,"b":"x"})", R"({"\u0061":"x"})"},
             {R"({"type": "string", "maxLength": 2})", R"("\n\"")", R"("\u0041")"},
             {R"({"pattern": "^a.b$"})", "\"a b\"", R"("a\rb")"},
             {R"({"pattern": "^\\s$"})", "\" \"", "\"\u00a0\""},
             {R"({"pattern": "^\\W$"})", "\"-\"", "\"é\""},
             {R"({"pattern": "^[&&a]+$"})", "\"&a\"", "\"b\""},
             {R"({"format": "date"})", "\"2024-02-29\"", "\"2023-02-29\""},
             {R"({"format": "time"})", "\"23:59:59Z\"", "\"23:59:60Z\""},
             {R"({"format": "time"})", "\"00:00:00-00:30\"", "\"00:00:00-00:00\""},
             {R"({"format": "time"})", "\"00:00:00+17:59\"", "\"00:00:00+18:19\""},
             {R"({"format": "hostname"})", "\"a-b.example\"", "\"xn--a.example\""},
             {R"({"format": "email"})", "\"a.b+c@example.org\"", "\"a@b\""},
             {R"({"format": "ipv6"})", "\"1:2::3\"", "\"1:2:3:4:5:6:7:8:9\""},
             {R"({"format": "ipv6"})", "\"::\"", "\"1::2::3\""},
             {R"({"format": "ipv4"})", "\"255.0.10.1\"", "\"256.0.0.1\""},
             {R"({"format": "uuid"})", "\"00000000-0000-0000-0000-00000000000a\"", "\"0000\""},
             {R"({"format": "duration"})", "\"P1Y2M3DT4H5M6S\"", "\"P\""},
             {R"({"format": "uri"})", "\"https://example.org:80/a?b#c\"", "\"https://[v1.a]/\""},
         }) {
        SCOPED_TRACE(each.schema);
        const OpenConstraint constraint(vocabulary, SCHEMA, each.schema);
        ASSERT_EQ(REPRISE_OK, constraint.status()) << last_error();
        EXPECT_TRUE(constraint.accepts(each.accepted));
        EXPECT_FALSE(constraint.accepts(each.refused));
    }
}

TEST(TextConstraint, VocabulariesAreChecked) {
    const auto* bytes = reinterpret_cast<const uint8_t*>("ab");
    const uint64_t offsets[] = {0, 1, 2};
    const uint64_t descending[] = {0, 2, 1};
    const uint8_t flags[] = {0, 0};
    const int32_t end = 1;
    const int32_t beyond = 2;
    reprise_handle vocabulary = 0;
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_vocabulary_open(bytes, offsets, flags, 0, &end, 1, &vocabulary),
                  {"n_vocab"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_vocabulary_open(bytes, offsets, flags, 2, &end, 0, &vocabulary),
                  {"end"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_vocabulary_open(bytes, offsets, flags, 2, &beyond, 1, &vocabulary),
                  {"end id 2"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_vocabulary_open(bytes, descending, flags, 2, &end, 1, &vocabulary),
                  {"ascend"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_vocabulary_open(nullptr, offsets, flags, 2, &end, 1, &vocabulary),
                  {"bytes"});
    expect_status(REPRISE_INVALID_ARGUMENT, reprise_vocabulary_open(bytes, offsets, nullptr, 2, &end, 1, &vocabulary),
                  {"flags"});
    EXPECT_EQ(0u, vocabulary);
    expect_status(REPRISE_INVALID_HANDLE, reprise_vocabulary_close(0), {"vocabulary"});
    reprise_handle constraint = 0;
    expect_status(REPRISE_INVALID_HANDLE, reprise_constraint_open(0, REGEX, bytes, 1, nullptr, &constraint),
                  {"vocabulary"});
}

/// Alternatives of objects with optional keys of their own, behind a required one if that is asked for.
std::string alternatives(int n, int n_keys, bool required) {
    std::string schema = "{\"anyOf\": [";
    for (int i = 0; i < n; ++i) {
        const std::string number = std::to_string(i);
        schema += std::string(i > 0 ? "," : "") + "{\"type\": \"object\", \"additionalProperties\": false, " +
                  (required ? "\"required\": [\"is" + number + "\"], " : "") + "\"properties\": {" +
                  (required ? "\"is" + number + "\": {\"const\": true}, " : "");
        for (int j = 0; j < n_keys; ++j) {
            schema += std::string(j > 0 ? "," : "") + "\"k" + number + "_" + std::to_string(j) +
                      "\": {\"type\": \"integer\"}";
        }
        schema += "}}";
    }
    return schema + "]}";
}

TEST(TextConstraint, AThousandKeysMayComeFirst) {
    const Vocabulary vocabulary({"{\"", "\":", ",\""});
    const OpenConstraint many(vocabulary, SCHEMA, alternatives(25, 40, false));
    ASSERT_EQ(REPRISE_OK, many.status()) << last_error();
    EXPECT_TRUE(many.accepts(R"({"k24_0":1,"k24_39":2})"));
    EXPECT_FALSE(many.accepts(R"({"k24_0":1,"k23_39":2})"));
    const OpenConstraint one(vocabulary, SCHEMA, alternatives(1, 1000, false));
    ASSERT_EQ(REPRISE_OK, one.status()) << last_error();
    EXPECT_TRUE(one.accepts(R"({"k0_0":1,"k0_999":2})"));
    const OpenConstraint told_apart(vocabulary, SCHEMA, alternatives(50, 50, true));
    ASSERT_EQ(REPRISE_OK, told_apart.status()) << last_error();
    EXPECT_TRUE(told_apart.accepts(R"({"is49":true,"k49_49":1})"));
    for (const std::string& schema :
         {alternatives(26, 40, false),
          "{\"allOf\": [{\"$ref\": \"#/$defs/a\"}], \"$defs\": {\"a\": " + alternatives(26, 40, false) + "}}"}) {
        const OpenConstraint refused(vocabulary, SCHEMA, schema);
        expect_status(REPRISE_UNSUPPORTED, refused.status(), {"more than 1000 keys that may come first", "in #"});
    }
}

TEST(TextConstraint, WhatIsTooComplexBehindItsFirstTokenIsRefusedWhenCompiled) {
    std::string lengths = "{\"anyOf\": [";
    for (int i = 0; i < 1000; ++i) {
        lengths += std::string(i > 0 ? "," : "") + "{\"type\": \"string\", \"minLength\": " + std::to_string(i) +
                   ", \"maxLength\": " + std::to_string(2 * i + 1) + "}";
    }
    const Vocabulary vocabulary;
    const OpenConstraint constraint(vocabulary, SCHEMA, lengths + "]}");
    expect_status(REPRISE_UNSUPPORTED, constraint.status(), {"too complex"});
}

TEST(TextConstraint, HostileSourcesEndQuickly) {
    const auto repeated = [](const std::string& text, size_t n) {
        std::string out;
        for (size_t i = 0; i < n; ++i) out += text;
        return out;
    };
    std::string crossed = "{\"allOf\": [";
    std::string bomb = "{\"$ref\": \"#/$defs/d0\", \"$defs\": {";
    std::string properties = "{\"type\": \"object\", \"properties\": {";
    std::string required = "{\"type\": \"object\", \"required\": [\"a\"";
    std::string patterns = "{\"allOf\": [";
    for (int i = 0; i < 200; ++i) {
        patterns +=
            std::string(i > 0 ? "," : "") + "{\"type\": \"string\", \"pattern\": \"x" + std::to_string(i) + "\"}";
    }
    patterns += "]}";
    std::string chain = "root ::= r0\n";
    for (int i = 0; i < 8; ++i) {
        crossed += std::string(i > 0 ? "," : "") + "{\"anyOf\": [";
        for (int j = 0; j < 8; ++j) {
            const std::string name = "a" + std::to_string(i) + "_" + std::to_string(j);
            crossed += std::string(j > 0 ? "," : "") + "{\"type\": \"object\", \"properties\": {\"" + name +
                       "\": {\"type\": \"string\"}}, \"required\": [\"" + name + "\"]}";
        }
        crossed += "]}";
    }
    crossed += "]}";
    for (int i = 0; i < 60; ++i) {
        const std::string next = "{\"$ref\": \"#/$defs/d" + std::to_string(i + 1) + "\"}";
        bomb += "\"d" + std::to_string(i) + "\": {\"anyOf\": [" + next + ", {\"type\": \"array\", \"prefixItems\": [" +
                next + "," + next + "]}]},";
    }
    bomb += "\"d60\": {\"type\": \"integer\"}}}";
    for (int i = 0; i < 12000; ++i) {
        properties += std::string(i > 0 ? "," : "") + "\"property number " + std::to_string(i) +
                      "\": {\"type\": \"string\", \"description\": \"" + std::string(40, 'x') + "\"}";
    }
    properties += "}}";
    for (int i = 0; i < 90'000; ++i) required += ",\"r" + std::to_string(i) + "\"";
    required += "]}";
    for (int i = 0; i < 4000; ++i) {
        const std::string next = " r" + std::to_string(i + 1);
        chain += "r" + std::to_string(i) + " ::=" + next + next + "\n";
    }
    const std::pair<reprise_constraint_kind, std::string> sources[] = {
        {SCHEMA, crossed},
        {SCHEMA, bomb},
        {SCHEMA, properties},
        {SCHEMA, required},
        {SCHEMA, patterns},
        {SCHEMA, repeated("{\"items\":", 1000) + "{}" + repeated("}", 1000)},
        {SCHEMA, R"({"type": "string", "minLength": 1000000000})"},
        {SCHEMA, R"({"type": "array", "minItems": 1000000000, "items": {"type": "object"}})"},
        {SCHEMA, R"({"type": "integer", "multipleOf": 999999937})"},
        {SCHEMA, R"({"type": "string", "pattern": "(((((a{1,30}){1,30}){1,30}){1,30}){1,30}){1,30}"})"},
        {SCHEMA, "{\"const\": \"" + std::string(900'000, 'x') + "\"}"},
        {SCHEMA, repeated("{\"items\":", 10000) + "{}" + repeated("}", 10000)},
        {SCHEMA, R"({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}})"},
        {SCHEMA, R"({"allOf": [{"$ref": "#"}]})"},
        {SCHEMA, R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})"},
        {SCHEMA, R"({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]})"},
        {SCHEMA, R"({"type": "object", "required": [)" + repeated("\"r\",", 200'000) + "\"r\"]}"},
        {SCHEMA, R"({"type": "string", "pattern": "^((a*)*)*b$"})"},
        {SCHEMA, R"({"type": "string", "pattern": "^[a-z]{100000}$"})"},
        {SCHEMA, std::string((1 << 20) + 1, ' ')},
        {REGEX, "(a|b)*a(a|b){1000}"},
        {REGEX, repeated("(", 5000) + "a" + repeated(")", 5000)},
        {REGEX, "\\p{L}{500}"},
        {LARK, "start: a\na: a a a | \"x\" | \"\""},
        {LARK, "start: " + repeated("(", 5000) + "\"a\"" + repeated(")", 5000)},
        {GBNF, "root ::= ((((\"a\"{10000}){10000}){10000}){10000})"},
        {GBNF, chain + "r4000 ::= \"\"\n"},
        {GBNF, chain + "r4000 ::= \"a\"\n"},
        {GBNF, "root ::= root root root | \"a\" | \"\""},
        {GBNF, "root ::= root"},
        {GBNF, "root ::= " + repeated("(", 100'000)},
    };
    const Vocabulary vocabulary({"12", "true", "{\"", "\":", "xxxxxxxx", "    "});
    std::mt19937 random(1);
    for (const auto& [kind, source] : sources) {
        SCOPED_TRACE(source.substr(0, 200));
        auto start = Clock::now();
        const OpenConstraint constraint(vocabulary, kind, source);
        EXPECT_LT(Clock::now() - start, std::chrono::seconds(20));
        if (constraint.status() != REPRISE_OK) continue;
        try {
            const auto matcher = make_constraint(constraint.handle());
            std::vector<uint32_t> mask(vocabulary.n_words());
            for (int step = 0; step < 50; ++step) {
                start = Clock::now();
                matcher->mask(mask);
                EXPECT_LT(Clock::now() - start, std::chrono::seconds(1));
                Ids allowed;
                for (int32_t id = 0; id < vocabulary.n_vocab(); ++id) {
                    if (in_mask(mask, id)) allowed.push_back(id);
                }
                ASSERT_FALSE(allowed.empty());
                const int32_t id = allowed[random() % allowed.size()];
                if (id == vocabulary.end()) break;
                matcher->accept(id);
            }
        } catch (const Error& error) {
            EXPECT_EQ(REPRISE_UNSUPPORTED, error.status()) << error.what();
        }
    }
}

/// Random texts under a constraint, to their ends.
std::vector<std::string> texts_of(const Vocabulary& vocabulary, const OpenConstraint& constraint, int n) {
    std::mt19937 random(7);
    std::vector<std::string> texts;
    std::vector<uint32_t> mask(vocabulary.n_words());
    for (int i = 0; i < n; ++i) {
        const auto matcher = make_constraint(constraint.handle());
        std::string text;
        for (int step = 0; step < 400; ++step) {
            matcher->mask(mask);
            Ids allowed;
            Ids closing;
            for (int32_t id = 0; id < vocabulary.n_vocab(); ++id) {
                if (!in_mask(mask, id)) continue;
                allowed.push_back(id);
                if (id == '"' || id == ']' || id == '}' || id == vocabulary.end()) closing.push_back(id);
            }
            if (step > 100 && !closing.empty()) allowed = closing;
            const int32_t id = allowed.at(random() % allowed.size());
            matcher->accept(id);
            if (id == vocabulary.end()) {
                texts.push_back(text);
                break;
            }
            text += vocabulary.token(id);
        }
    }
    return texts;
}

TEST(TextConstraint, EveryTextThatEndsIsOfTheSchema) {
    const Vocabulary vocabulary({"{\"", "\":", ",\"", "12", "true", "null", "é", "日", "\\n", "-1"});
    const OpenConstraint constraint(vocabulary, SCHEMA, R"({
        "type": "object", "additionalProperties": false, "required": ["name", "tags"],
        "properties": {"name": {"type": "string", "minLength": 1, "maxLength": 5},
                       "age": {"type": "integer", "minimum": 0, "maximum": 150},
                       "tags": {"type": "array", "items": {"enum": ["a", "b", 3]}, "maxItems": 3}}})");
    ASSERT_EQ(REPRISE_OK, constraint.status()) << last_error();
    const auto texts = texts_of(vocabulary, constraint, 200);
    EXPECT_LE(150u, texts.size());
    for (const std::string& text : texts) {
        SCOPED_TRACE(text);
        const auto value = nlohmann::json::parse(text);
        const auto name = value.at("name").get<std::string>();
        const auto length = std::count_if(name.begin(), name.end(), [](char c) { return (c & 0xc0) != 0x80; });
        EXPECT_TRUE(1 <= length && length <= 5);
        if (value.contains("age")) {
            EXPECT_TRUE(value["age"].is_number_integer() && value["age"] >= 0 && value["age"] <= 150);
        }
        EXPECT_LE(value.at("tags").size(), 3u);
        for (const auto& tag : value["tags"]) EXPECT_TRUE(tag == "a" || tag == "b" || tag == 3);
        EXPECT_LE(value.size(), 3u);
    }
}

TEST(TextConstraint, ThreadsShareVocabulariesAndConstraints) {
    const Vocabulary vocabulary;
    const OpenConstraint shared(vocabulary, SCHEMA, R"({"type": "array", "items": {"type": "integer"}})");
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&] {
            for (int i = 0; i < 20; ++i) {
                const OpenConstraint own(vocabulary, GBNF, "root ::= \"a\"+");
                if (!shared.accepts("[1,2,34]") || shared.accepts("[1,]") || !own.accepts("aaa") || own.accepts("b"))
                    ++wrong;
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(0, wrong);
}

}  // namespace
}  // namespace reprise::test
